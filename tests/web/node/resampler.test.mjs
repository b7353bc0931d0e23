// Quality of web/resampler.js. The bars are those of a good fixed-ratio converter; measured figures are 10 dB and more better.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Resampler } from "../../../web/resampler.js";

const MARGIN = 2000; // samples at both ends in which the filter is not yet full

function sine(hertz, rate, seconds = 1) {
  return Float32Array.from({ length: rate * seconds }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hertz * i) / rate));
}

function resample(input, from, to, block) {
  const resampler = new Resampler(from, to);
  const output = [];
  for (let start = 0; start < input.length; start += block) output.push(...resampler.process(input.subarray(start, start + block)));
  output.push(...resampler.flush());
  return output;
}

function decibels(ratio) {
  return 10 * Math.log10(ratio);
}

function power(samples) {
  const inner = samples.slice(MARGIN, -MARGIN);
  return inner.reduce((sum, value) => sum + value * value, 0) / inner.length;
}

function signalToNoise(from, to, hertz) {
  const output = resample(sine(hertz, from), from, to, 128);
  const wanted = sine(hertz, to);
  return decibels(power(wanted) / power(output.map((value, i) => value - wanted[i])));
}

const RATES = [
  [48_000, 16_000],
  [44_100, 16_000],
  [96_000, 16_000],
  [24_000, 48_000],
  [24_000, 44_100],
  [8_000, 16_000],
];

for (const [from, to] of RATES) {
  test(`a 1 kHz tone keeps 90 dB over its error and stays in place: ${from} to ${to}`, () => {
    assert.ok(signalToNoise(from, to, 1000) > 90);
  });

  test(`the band up to 85 % of the lower Nyquist frequency is flat within 0.1 dB: ${from} to ${to}`, () => {
    const nyquist = Math.min(from, to) / 2;
    for (const share of [0.05, 0.25, 0.5, 0.75, 0.85]) {
      const gain = decibels(power(resample(sine(share * nyquist, from), from, to, 128)) / 0.125);
      assert.ok(Math.abs(gain) < 0.1, `${gain} dB at ${share}`);
    }
  });

  test(`every input sample is worth its time: ${from} to ${to}`, () => {
    assert.equal(resample(sine(440, from), from, to, 128).length, to);
  });

  test(`the size of the pieces does not matter: ${from} to ${to}`, () => {
    const input = sine(700, from, 0.25);

    assert.deepEqual(resample(input, from, to, 7), resample(input, from, to, input.length));
  });
}

for (const from of [44_100, 48_000, 96_000]) {
  test(`tones above 8 kHz vanish instead of folding back: ${from} to 16000`, () => {
    for (const hertz of [8_400, 9_000, 11_000, 15_500]) {
      const alias = decibels(power(resample(sine(hertz, from), from, 16_000, 128)) / 0.125);
      assert.ok(alias < -85, `${hertz} Hz comes through at ${alias} dB`);
    }
  });
}

test("images above the speech band are removed when 24 kHz goes to 48 kHz", () => {
  const output = resample(sine(9_000, 24_000), 24_000, 48_000, 128);
  const wanted = sine(9_000, 48_000);

  assert.ok(decibels(power(output.map((value, i) => value - wanted[i])) / 0.125) < -80);
});

test("equal rates give the same samples", () => {
  const input = sine(1000, 24_000);

  assert.deepEqual(resample(input, 24_000, 24_000, 100), [...input]);
});

test("a constant stays constant in every phase", () => {
  const output = resample(new Float32Array(44_100).fill(0.25), 44_100, 16_000, 128);

  assert.ok(output.slice(MARGIN, -MARGIN).every((value) => Math.abs(value - 0.25) < 1e-6));
});

test("after a reset the past is forgotten", () => {
  const resampler = new Resampler(48_000, 16_000);
  resampler.process(sine(1000, 48_000, 0.1));
  resampler.reset();
  const output = [...resampler.process(new Float32Array(4800)), ...resampler.flush()];

  assert.equal(output.length, 1600);
  assert.ok(output.every((value) => value === 0));
});
