// The pure parts of the page beside player and resampler.
import assert from "node:assert/strict";
import { test } from "node:test";

import { readCloseCode, retryDelay, waitAsTold } from "../../../web/connection.js";
import { decodeFrame, HEADER_BYTES, writeHeader } from "../../../web/frames.js";
import { LatencyMeter } from "../../../web/latency.js";
import { chooseLanguage, EXAMPLES, STRINGS, translate } from "../../../web/strings.js";
import { TranscriptModel, turnText } from "../../../web/transcript-model.js";
import { VoiceActivity } from "../../../web/voice-activity.js";

function encoded(header, samples) {
  const frame = new ArrayBuffer(HEADER_BYTES + 2 * samples.length);
  new Int16Array(frame, HEADER_BYTES).set(samples);
  writeHeader(frame, header);
  return frame;
}

test("a frame's header is sixteen little-endian bytes", () => {
  const frame = encoded({ kind: 1, turn: 0x0203, seq: 0x04050607, sampleOffset: 512, timeMs: 1000.4 }, [1, -2]);

  assert.equal(Buffer.from(frame).toString("hex"), "01000302070605040002" + "0000e80300000100feff");
});

test("a decoded frame is what was encoded, without a copy of its samples", () => {
  const header = { kind: 2, turn: 7, seq: 4_294_967_295, sampleOffset: 5, timeMs: 6 };
  const frame = encoded(header, [3, 4]);
  const decoded = decodeFrame(frame);

  assert.deepEqual({ ...decoded, pcm: [...decoded.pcm] }, { ...header, flags: 0, pcm: [3, 4] });
  assert.equal(decoded.pcm.buffer, frame);
});

test("a frame that is too short or holds half a sample is refused", () => {
  assert.equal(decodeFrame(new ArrayBuffer(15)), null);
  assert.equal(decodeFrame(new ArrayBuffer(17)), null);
});

test("attempts to reconnect spread out and are capped", () => {
  assert.deepEqual([0, 1, 2, 3, 20].map((attempt) => retryDelay(attempt, () => 1)), [600, 1100, 2100, 4100, 20_100]);
  assert.equal(retryDelay(5, () => 0), 100);
  assert.equal(retryDelay(5, () => 1, 3000), 3100);
});

test("a server that says for how long is believed, up to a minute, and those it refused spread out", () => {
  assert.equal(waitAsTold({ retryable: true, retry_after: 5 }, () => 0), 5000);
  assert.equal(waitAsTold({ retryable: true, retry_after: 5 }, () => 1), 7500);
  assert.equal(waitAsTold({ retryable: true, retry_after: 3600 }, () => 0), 60_000);
  for (const error of [{ retryable: false, retry_after: 5 }, { retryable: true }, { retryable: true, retry_after: null }, { retryable: true, retry_after: -1 }]) {
    assert.equal(waitAsTold(error), null);
  }
});

test("a policy violation is final, a restart is not", () => {
  assert.deepEqual(readCloseCode(1008), { problem: "refused", isFinal: true });
  assert.deepEqual(readCloseCode(1012), { problem: "server_leaving", isFinal: false });
  assert.deepEqual(readCloseCode(1006), { problem: null, isFinal: false });
  assert.deepEqual(readCloseCode(4409), { problem: "taken_over", isFinal: true });
});

test("both languages have the same keys and the same values to fill in", () => {
  const holes = (text) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();

  assert.deepEqual(Object.keys(STRINGS.es).sort(), Object.keys(STRINGS.en).sort());
  for (const key of Object.keys(STRINGS.en)) assert.deepEqual(holes(STRINGS.es[key]), holes(STRINGS.en[key]), key);
  for (const phrases of Object.values(EXAMPLES)) assert.deepEqual(Object.keys(phrases).sort(), ["en", "es"]);
});

test("the browser's first known language is taken", () => {
  assert.equal(chooseLanguage(["", "de-DE", "es-AR", "en"]), "es");
  assert.equal(chooseLanguage(["fr"]), "en");
  assert.equal(translate("es", "interrupted", { seconds: "2.1" }), "interrumpido, se oyeron 2.1 s");
});

function transcript(turn, role, stage, text) {
  return { type: "transcript", turn, role, stage, text };
}

test("a final block replaces the speculative block at its place", () => {
  const model = new TranscriptModel();
  model.apply(transcript(2, "assistant", "speculative", "Hello."), 0);
  model.apply(transcript(2, "assistant", "speculative", "Goodbye."), 1);
  const entry = model.apply(transcript(2, "assistant", "final", "Hello."), 2);

  assert.deepEqual(turnText(entry), { final: "Hello.", speculative: "Goodbye." });
  assert.equal(model.entries.length, 1);
});

test("after an interruption only what was said remains", () => {
  const model = new TranscriptModel();
  for (const text of ["One.", "Two.", "Three."]) model.apply(transcript(2, "assistant", "speculative", text), 0);
  model.apply(transcript(2, "assistant", "final", "One."), 1);
  const entry = model.apply({ type: "interrupted", turn: 2, heard_ms: 900 }, 2);

  assert.deepEqual(turnText(entry), { final: "One.", speculative: "" });
  assert.equal(entry.interruptedMs, 900);
});

test("what the user typed is not shown twice when the server echoes it", () => {
  const model = new TranscriptModel();
  model.typed("Hello", 0);
  model.begin({ language: "en", voice_id: "matthew" }, 1);
  model.apply(transcript(1, "user", "final", "Hello"), 2);
  model.apply(transcript(3, "user", "final", "Hello"), 3);

  assert.deepEqual(model.entries.map(({ typed, turn }) => [typed, turn]), [[true, 1], [false, 3]]);
});

test("turns of two sessions with the same number are two turns", () => {
  const model = new TranscriptModel();
  for (const text of ["first", "second"]) {
    model.begin({ language: "en", voice_id: "matthew" }, 0);
    model.apply(transcript(1, "user", "final", text), 1);
  }

  assert.deepEqual(model.entries.map(({ kind }) => kind), ["turn", "note", "turn"]);
});

test("a tool call is completed by its result", () => {
  const model = new TranscriptModel();
  model.apply({ type: "tool.started", turn: 2, id: "a", name: "consultarOrder", arguments: "{}" }, 0);
  const entry = model.apply({ type: "tool.finished", turn: 2, id: "a", name: "consultarOrder", result: "{}", error_code: "not_found", duration_ms: 12 }, 1);

  assert.deepEqual([entry.input, entry.output, entry.errorCode, entry.ms], ["{}", "{}", "not_found", 12]);
});

test("the reply is measured from the user's last voiced sample", () => {
  const meter = new LatencyMeter();
  meter.userStopped(1000, 1500);

  assert.equal(meter.replyAudible(1655), 655);
  assert.equal(meter.replyAudible(1700), null);
});

test("without a microphone the reply is measured from the end of the turn", () => {
  const meter = new LatencyMeter();
  meter.userStopped(null, 1500);

  assert.equal(meter.replyAudible(1655), 155);
});

test("an interruption is measured from its beginning to silence", () => {
  const meter = new LatencyMeter();
  meter.interruptionBegan(2000);
  meter.interruptionBegan(2050);

  assert.equal(meter.silenced(2105), 105);
  assert.equal(meter.silenced(2200), null);
});

function feed(activity, rms, from, ms) {
  const events = [];
  for (let at = from; at < from + ms; at += 8) events.push([activity.push(rms, at, at + 8), at]);
  return events.filter(([event]) => event !== null);
}

test("speech is told from background, from its first to its last voiced block", () => {
  const activity = new VoiceActivity();
  feed(activity, 0.002, 0, 1000);
  const started = feed(activity, 0.1, 1000, 500);
  const stopped = feed(activity, 0.002, 1504, 1000);

  assert.deepEqual(started.map(([event]) => event), ["started"]);
  assert.deepEqual(stopped.map(([event]) => event), ["stopped"]);
  assert.equal(activity.startedAt, 1000);
  assert.ok(activity.lastVoicedAt >= 1496 && activity.lastVoicedAt <= 1504);
});

test("a click and a steady hum are not speech", () => {
  const activity = new VoiceActivity();
  feed(activity, 0.001, 0, 500);
  const click = feed(activity, 0.3, 500, 16);
  const hum = feed(new VoiceActivity(), 0.002, 0, 2000);

  assert.deepEqual([click, hum], [[], []]);
});

test("the frame in the protocol's reference page is what is sent", async () => {
  const { readFile } = await import("node:fs/promises");
  const page = await readFile(new URL("../../../docs/reference/binary-dialect.md", import.meta.url), "utf8");
  const [example] = page.match(/^01 00 [0-9a-f ]+$/m);
  const frame = encoded({ kind: 1, seq: 3, sampleOffset: 1536, timeMs: 1000 }, [1, -2]);

  assert.equal(Buffer.from(frame).toString("hex"), example.replaceAll(" ", ""));
});
