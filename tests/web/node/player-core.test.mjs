// web/player-core.js under a virtual clock: what is pushed is played, once and in order, whatever the network does.
import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_QUEUED_SECONDS, PlayerCore } from "../../../web/player-core.js";
import { Resampler } from "../../../web/resampler.js";

const HERTZ = 24_000;
const CHUNK = 1024;
const QUANTUM = 128;
const CHUNK_MS = (1000 * CHUNK) / HERTZ;

/** Small deterministic generator (mulberry32), so that a failure can be repeated. */
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function normal(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** When each chunk leaves the server and how much later it arrives, in milliseconds; TCP keeps the order. */
const PATTERNS = {
  rt: { pace: 1, delay: () => 0 },
  burst: { pace: 3, delay: () => 0 },
  jit20: { pace: 1, delay: (random) => Math.abs(20 * normal(random)) },
  spike: { pace: 1, delay: (random) => (random() < 0.03 ? 80 + 170 * random() : 0) },
  nova: { pace: 1.6, delay: (random) => (random() < 0.03 ? 80 + 170 * random() : 0) },
};

function noise(samples, random) {
  // never 0: what is silence was inserted by the player
  return Int16Array.from({ length: samples }, () => (1 + Math.floor(32_000 * random())) * (random() < 0.5 ? -1 : 1));
}

/** Plan the arrival of turns of speech: [atMs, action] in order. The last chunk of each turn is short. */
function plan(pattern, turns, random, { turnSeconds = 3, pauseMs = 600, lateTailMs = 0 } = {}) {
  const { pace, delay } = PATTERNS[pattern];
  const events = [];
  let sendAt = 100;
  let arriveAt = 0;
  for (let turn = 1; turn <= turns; turn++) {
    const pcm = noise(HERTZ * turnSeconds + 320, random);
    const begin = sendAt;
    for (let start = 0; start < pcm.length; start += CHUNK) {
      const isLast = start + CHUNK >= pcm.length;
      arriveAt = Math.max(arriveAt, sendAt + delay(random) + (isLast ? lateTailMs : 0));
      events.push({ at: arriveAt, turn, pcm: pcm.slice(start, start + CHUNK) });
      sendAt += CHUNK_MS / pace;
    }
    events.push({ at: arriveAt, turn, end: true });
    sendAt = Math.max(sendAt, begin + turnSeconds * 1000, arriveAt) + pauseMs;
  }
  return events;
}

/** Run the player against a plan; returns everything it played, its reports and itself. */
function run(events, { rate = HERTZ, tailMs = 1500, during = () => {} } = {}) {
  const reports = [];
  const core = new PlayerCore(rate, (report) => reports.push(report));
  const output = [];
  const block = new Float32Array(QUANTUM);
  const end = events.at(-1).at + tailMs + 5000;
  let next = 0;
  for (let clock = 0; clock < end && !(next === events.length && core.state === "IDLE" && clock > events.at(-1).at); clock += (1000 * QUANTUM) / rate) {
    for (; next < events.length && events[next].at <= clock; next++) {
      const event = events[next];
      if (event.end) core.end(event.turn);
      else core.push(event.turn, event.pcm, HERTZ, clock);
    }
    during(core, clock);
    core.pull(block, clock);
    for (const value of block) output.push(value);
  }
  return { output, reports, core };
}

function pushed(events) {
  return events.filter((event) => event.pcm).flatMap((event) => Array.from(event.pcm));
}

function heard(output) {
  return output.filter((value) => value !== 0).map((value) => value * 32768);
}

function only(reports, type) {
  return reports.filter((report) => report.type === type);
}

for (const pattern of Object.keys(PATTERNS)) {
  for (const seed of [1, 2, 3]) {
    test(`six turns are played bit-exact under pattern ${pattern}, seed ${seed}`, () => {
      const events = plan(pattern, 6, generator(seed));

      const { output, reports, core } = run(events);

      assert.deepEqual(heard(output), pushed(events));
      assert.deepEqual(only(reports, "drained").map(({ turn }) => turn), [1, 2, 3, 4, 5, 6]);
      assert.equal(core.snapshot().played, core.snapshot().received);
    });
  }
}

for (const pattern of ["rt", "burst"]) {
  test(`nothing is inserted when speech comes in time: ${pattern}`, () => {
    const { core } = run(plan(pattern, 6, generator(1)));

    assert.equal(core.snapshot().underruns, 0);
    assert.equal(core.snapshot().silence_ms, 0);
  });
}

test("a player that met a late chunk starts the next turns with the delay that would have sufficed", () => {
  const { reports, core } = run(plan("rt", 4, generator(5), { lateTailMs: 250 }));

  assert.deepEqual(only(reports, "underrun").map(({ turn }) => turn), [1]);
  assert.ok(core.target >= 250 && core.target <= 300);
});

test("a source faster than real time keeps the delay small", () => {
  const { core } = run(plan("burst", 3, generator(1)));

  assert.ok(core.target < 60);
});

test("the delay is forgotten after eight good turns", () => {
  const { core } = run([...plan("rt", 1, generator(1), { lateTailMs: 250, turnSeconds: 1 })]);
  const late = core.target;
  let clock = 10_000;
  for (let turn = 2; turn <= 9; turn++) {
    core.push(turn, new Int16Array(2400).fill(5), HERTZ, clock);
    core.end(turn);
    for (; core.turns.length > 0; clock += 5) core.pull(new Float32Array(120), clock);
  }

  assert.ok(late > 250);
  assert.equal(core.target, 30);
});

test("a chunk that comes after a second's pause is not taken for jitter", () => {
  const random = generator(3);
  const pcm = noise(HERTZ, random);
  const half = HERTZ / 2;
  const events = [{ at: 0, turn: 1, pcm: pcm.slice(0, half) }, { at: 4000, turn: 1, pcm: pcm.slice(half) }, { at: 4000, turn: 1, end: true }];

  const { output, core } = run(events);

  assert.deepEqual(heard(output), Array.from(pcm));
  assert.ok(core.target < 100);
});

test("a turn goes on after its speech was ended once, and its time is counted on", () => {
  const pcm = noise(HERTZ, generator(4));
  const events = [
    { at: 0, turn: 2, pcm: pcm.slice(0, 12_000) },
    { at: 0, turn: 2, end: true },
    { at: 3000, turn: 2, pcm: pcm.slice(12_000) },
    { at: 3000, turn: 2, end: true },
  ];

  const { output, reports } = run(events);

  assert.deepEqual(heard(output), Array.from(pcm));
  assert.deepEqual(only(reports, "drained").map((report) => report.heard_ms), [500, 1000]);
});

test("a turn whose end marker is missing ends when the next begins", () => {
  const random = generator(6);
  const [first, second] = [noise(5000, random), noise(5000, random)];
  const events = [{ at: 0, turn: 1, pcm: first }, { at: 50, turn: 2, pcm: second }, { at: 50, turn: 2, end: true }];

  const { output, reports } = run(events);

  assert.deepEqual(heard(output), [...first, ...second]);
  assert.deepEqual(only(reports, "drained").map(({ turn }) => turn), [1, 2]);
});

function runWithFlush(flushAt, rate = HERTZ) {
  const pcm = Int16Array.from({ length: HERTZ * 2 }, (_, i) => Math.round(16_000 * Math.sin((2 * Math.PI * 440 * i) / HERTZ)) || 1);
  let state = "before";
  const during = (core, clock) => {
    if (state === "before" && clock >= flushAt) {
      core.flush(1, clock);
      core.push(1, new Int16Array(CHUNK).fill(1234), HERTZ, clock); // still on its way when the user interrupted
      state = "after";
    }
  };
  return run([{ at: 0, turn: 1, pcm }, { at: 0, turn: 1, end: true }, { at: 1500, turn: 2, pcm: pcm.slice(0, 2400) }, { at: 1500, turn: 2, end: true }], { rate, during });
}

test("a flush is silent after 5 ms, without a click, and says what was heard", () => {
  const { output, reports, core } = runWithFlush(800);
  const [flushed] = only(reports, "flushed");
  const started = only(reports, "started")[0].clock;
  const silentFrom = Math.ceil((flushed.clock * HERTZ) / 1000);

  assert.equal(flushed.was_playing, true);
  assert.ok(Math.abs(flushed.heard_ms - (flushed.clock - started)) <= 2);
  assert.ok(flushed.clock - 800 < 5 + 2 * ((1000 * QUANTUM) / HERTZ));
  assert.ok(output.slice(silentFrom, 1500 * 24).every((value) => value === 0));
  assert.ok(Math.abs(output[silentFrom - 1]) < 0.005);
  assert.equal(flushed.discarded, 48_000 - Math.round((flushed.heard_ms * HERTZ) / 1000 / 120) * 120);
  assert.equal(core.snapshot().late, CHUNK);
});

test("the fade has no step larger than the sound itself has", () => {
  const { output } = runWithFlush(800);
  const largest = (2 * Math.PI * 440 * 0.5) / HERTZ; // of the sine's samples
  const steps = output.slice(790 * 24, 830 * 24).map((value, i, all) => Math.abs(value - (all[i - 1] ?? value)));

  assert.ok(Math.max(...steps) < largest * 1.15);
});

test("the turn after a flush is played whole", () => {
  const { reports } = runWithFlush(800);

  assert.deepEqual(only(reports, "drained").map((report) => [report.turn, report.heard_ms]), [[2, 100]]);
});

test("a flush before anything is heard reports nothing heard", () => {
  const { reports } = runWithFlush(0);

  assert.equal(only(reports, "flushed")[0].heard_ms, 0);
  assert.equal(only(reports, "flushed")[0].was_playing, false);
});

test("a flush after the end reports the whole turn as heard", () => {
  const events = [{ at: 0, turn: 1, pcm: new Int16Array(2400).fill(9) }, { at: 0, turn: 1, end: true }];
  const { core, reports } = run(events);

  core.flush(1, 9000);

  assert.equal(reports.at(-1).heard_ms, 100);
  assert.equal(reports.at(-1).was_playing, false);
});

test("speech of another rate is played as one continuous stream at the device's rate", () => {
  const pcm = noise(HERTZ * 2, generator(8));
  const events = [];
  for (let start = 0; start < pcm.length; start += CHUNK) events.push({ at: start / 100, turn: 1, pcm: pcm.slice(start, start + CHUNK) });
  events.push({ at: events.at(-1).at, turn: 1, end: true });
  const resampler = new Resampler(HERTZ, 44_100);
  const wanted = [...resampler.process(Float32Array.from(pcm, (value) => value / 32768)), ...resampler.flush()];

  const { output, reports } = run(events, { rate: 44_100 });
  const begin = output.findIndex((value) => value !== 0);

  assert.deepEqual(output.slice(begin, begin + wanted.length), wanted);
  assert.equal(only(reports, "drained")[0].heard_ms, 2000);
});

test("more than five minutes are not kept, and it is said once", () => {
  const reports = [];
  const core = new PlayerCore(HERTZ, (report) => reports.push(report));
  const second = new Int16Array(HERTZ);
  for (let i = 0; i < MAX_QUEUED_SECONDS + 3; i++) core.push(1, second, HERTZ, 0);

  assert.equal(core.snapshot().dropped, 3 * HERTZ);
  assert.deepEqual(reports, [{ type: "overflow", turn: 1 }]);
});

test("the first audible sample is reported where it stands", () => {
  const pcm = new Int16Array(4800);
  pcm.fill(3000, 1200);
  const { output, reports } = run([{ at: 0, turn: 1, pcm }, { at: 0, turn: 1, end: true }]);

  assert.equal(Math.round((only(reports, "started")[0].clock * HERTZ) / 1000), output.findIndex((value) => value !== 0));
});
