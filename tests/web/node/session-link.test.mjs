// A session that outlives its connections, over a pretended connection and clock.
import assert from "node:assert/strict";
import { test } from "node:test";

import { decodeFrame, HEADER_BYTES, SPEECH, writeHeader } from "../../../web/frames.js";
import { SessionLink } from "../../../web/session-link.js";

/** Time that goes on when it is told to. */
class Clock {
  constructor() {
    this.time = 0;
    this.timers = [];
  }

  now = () => this.time;

  after = (ms, run) => {
    const timer = { at: this.time + ms, run };
    this.timers.push(timer);
    return timer;
  };

  cancel = (timer) => {
    this.timers = this.timers.filter((one) => one !== timer);
  };

  async pass(ms) {
    const end = this.time + ms;
    for (;;) {
      await settled();
      const due = this.timers.filter((one) => one.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.cancel(due);
      this.time = due.at;
      due.run();
    }
    this.time = end;
  }
}

const settled = () => new Promise((done) => setImmediate(done));

/** A connection whose other end is the test. */
class Wire {
  constructor(listeners) {
    this.listeners = listeners;
    this.isOpen = false;
    this.isReachable = true;
    this.opened = 0;
    this.dropped = 0;
    this.suspected = 0;
    this.out = [];
  }

  async open() {
    this.opened += 1;
    if (!this.isReachable) throw new Error("refused");
    this.isOpen = true;
  }

  send(data) {
    assert.ok(this.isOpen);
    this.out.push(typeof data === "string" ? JSON.parse(data) : decodeFrame(data));
  }

  close(code = 1000) {
    this.break(code);
  }

  drop() {
    this.isOpen = false;
    this.dropped += 1;
  }

  suspect() {
    this.suspected += 1;
  }

  /** The server closes, or the network breaks. */
  break(code = 1006) {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.listeners.close({ code });
  }

  say(type, fields = {}) {
    return this.listeners.text(JSON.stringify({ type, ...fields }));
  }

  speak(seq, samples = [1], turn = 2) {
    const frame = new ArrayBuffer(HEADER_BYTES + 2 * samples.length);
    new Int16Array(frame, HEADER_BYTES).set(samples);
    writeHeader(frame, { kind: SPEECH, turn, seq, sampleOffset: 0, timeMs: 0 });
    this.listeners.frame(frame);
  }

  /** What was sent since the last look, pings left out. */
  taken() {
    return this.out.splice(0).filter(({ type }) => type !== "ping");
  }
}

async function begun(started = { seq: 0, resume_token: "first", resume_seconds: 30 }, random = () => 1) {
  const clock = new Clock();
  const heard = { seen: [], messages: [], speech: [], events: [] };
  const link = new SessionLink(
    {
      seen: (direction, message) => heard.seen.push([direction, message]),
      message: (message) => heard.messages.push(message.type),
      speech: ({ pcm }) => heard.speech.push(...pcm),
      away: (until) => heard.events.push(["away", until]),
      back: (how) => heard.events.push(["back", how]),
      refused: ({ code }) => heard.events.push(["refused", code]),
      lost: ({ code }) => heard.events.push(["lost", code]),
      unreadable: () => heard.events.push(["unreadable"]),
    },
    { connect: (listeners) => new Wire(listeners), clock, random },
  );
  const wire = link.connection;
  await link.open("ws://somewhere/");
  link.hello({ language: "es" });
  wire.say("session.started", started);
  return { clock, heard, link, wire };
}

function chunk(samples = 2) {
  return new ArrayBuffer(HEADER_BYTES + 2 * samples);
}

const numbers = (frames) => frames.map(({ seq }) => seq);

test("microphone, text and interruptions are numbered in one count; the rest has no number", async () => {
  const { link, wire } = await begun();
  wire.taken();
  link.deliverAudio(chunk(), 0);
  link.deliver({ type: "text", text: "Hola" });
  link.deliverAudio(chunk(), 2);
  link.deliver({ type: "interrupt" });
  link.send({ type: "playback", turn: 2, heard_ms: 10 });

  const sent = wire.taken();
  assert.deepEqual(numbers(sent), [0, 1, 2, 3, undefined]);
  assert.equal(sent[2].sampleOffset, 2);
});

test("the hello says that the client can come back", async () => {
  const { wire } = await begun();

  assert.deepEqual(wire.out[0], { type: "hello", protocol: 1, language: "es", resume: true });
});

test("tokens are shown to nobody", async () => {
  const { clock, heard, wire } = await begun();
  wire.say("goAway", { time_left_ms: 100, handle: "elsewhere", seq: 1 });
  wire.break();
  await clock.pass(0);

  assert.ok(!JSON.stringify(heard.seen).includes("first"));
  assert.ok(!JSON.stringify(heard.seen).includes("elsewhere"));
  assert.equal(heard.seen.length, 4);
});

test("what arrives is acknowledged four times a second while something arrives", async () => {
  const { clock, wire } = await begun();
  wire.taken();
  wire.say("user.speech_started", { turn: 1, seq: 1 });
  for (let seq = 2; seq < 12; seq++) {
    await clock.pass(50);
    wire.speak(seq);
  }
  await clock.pass(2000);

  assert.deepEqual(wire.taken(), [{ type: "ack", seq: 6 }, { type: "ack", seq: 11 }, { type: "ack", seq: 12 }]);
});

test("after a loss the session goes on where it was, with nothing lost and nothing twice", async () => {
  const { clock, heard, link, wire } = await begun();
  for (let i = 0; i < 4; i++) link.deliverAudio(chunk(), 2 * i);
  wire.speak(1, [11]);
  wire.speak(2, [12]);
  wire.say("ack", { seq: 2 });
  wire.break();
  for (let i = 4; i < 6; i++) assert.ok(link.deliverAudio(chunk(), 2 * i));
  link.deliver({ type: "text", text: "Hola" });
  link.send({ type: "playback", turn: 2, heard_ms: 1 });
  wire.taken();

  await clock.pass(0);
  assert.deepEqual(wire.taken(), [{ type: "resume", protocol: 1, token: "first", seq: 3 }]);
  link.deliverAudio(chunk(), 12);
  wire.say("session.resumed", { resume_token: "second", resume_seconds: 30, seq: 3, adopted: false });
  link.deliverAudio(chunk(), 14);
  wire.speak(2, [12]);
  wire.speak(3, [13]);

  assert.deepEqual(numbers(wire.taken()), [3, 4, 5, 6, 7, 8]);
  assert.deepEqual(heard.speech, [11, 12, 13]);
  assert.deepEqual(heard.events, [["away", 30_000], ["back", { waitedMs: 0, isAdopted: false }]]);
  assert.deepEqual([link.figures.resumes, link.figures.repeated, link.figures.missing], [1, 1, 0]);
});

test("the next loss is answered with the newest token", async () => {
  const { clock, wire } = await begun();
  for (const token of ["second", "third"]) {
    wire.break();
    await clock.pass(0);
    wire.say("session.resumed", { resume_token: token, resume_seconds: 30, seq: 0 });
  }
  wire.taken();
  wire.break();
  await clock.pass(0);

  assert.equal(wire.taken()[0].token, "third");
});

test("a message that comes again is neither shown nor told again", async () => {
  const { clock, heard, wire } = await begun();
  wire.say("user.speech_started", { turn: 1, seq: 1 });
  wire.break();
  await clock.pass(0);
  wire.say("session.resumed", { resume_token: "second", resume_seconds: 30, seq: 0 });
  wire.say("user.speech_started", { turn: 1, seq: 1 });
  wire.say("user.speech_ended", { turn: 1, seq: 2 });

  assert.deepEqual(heard.messages, ["session.started", "user.speech_started", "user.speech_ended"]);
  assert.equal(heard.seen.filter(([, { type }]) => type === "user.speech_started").length, 1);
});

test("frames that came again without samples are taken and not played", async () => {
  const { heard, link, wire } = await begun();
  wire.speak(1, []);
  wire.say("interrupted", { turn: 2, heard_ms: 0, seq: 2 });

  assert.deepEqual(heard.speech, []);
  assert.deepEqual([heard.messages.at(-1), link.figures.missing], ["interrupted", 0]);
});

test("it is tried at once, and then with growing delays until the time is over", async () => {
  const { clock, heard, wire } = await begun();
  wire.isReachable = false;
  wire.break();
  const tries = [];
  for (let at = 0; at < 40_000; at += 50) {
    await clock.pass(50);
    while (tries.length < wire.opened - 1) tries.push(clock.time);
  }

  assert.deepEqual(tries.slice(0, 5), [50, 600, 1700, 3800, 6900]);
  assert.ok(tries.length < 15);
  assert.ok(tries.at(-1) <= 30_000);
  assert.deepEqual(heard.events, [["away", 30_000], ["lost", 1006]]);
});

test("when the network is back it is tried without waiting", async () => {
  const { clock, link, wire } = await begun();
  wire.isReachable = false;
  wire.break();
  await clock.pass(10_000);
  wire.isReachable = true;
  const before = wire.opened;
  link.suspect();
  await settled();

  assert.equal(wire.opened, before + 1);
  assert.equal(wire.taken().at(-1).type, "resume");
});

test("an open connection is looked at when the network may have changed", async () => {
  const { link, wire } = await begun();
  link.suspect();

  assert.equal(wire.suspected, 1);
});

test("a server that does not answer the resume is asked again on another connection", async () => {
  const { clock, heard, wire } = await begun();
  wire.break();
  await clock.pass(5000);
  assert.equal(wire.dropped, 1);
  await clock.pass(600);
  wire.say("session.resumed", { resume_token: "second", resume_seconds: 30, seq: 0 });

  assert.equal(heard.events.at(-1)[0], "back");
});

test("a connection that breaks before the answer is followed by the next one", async () => {
  const { clock, heard, wire } = await begun();
  wire.break();
  await clock.pass(0);
  wire.break();
  await clock.pass(600);
  wire.say("session.resumed", { resume_token: "second", resume_seconds: 30, seq: 0 });

  assert.deepEqual(heard.events.map(([name]) => name), ["away", "back"]);
});

test("a server that is busy is asked again, one that refuses is not", async () => {
  const { clock, heard, wire } = await begun();
  wire.break();
  await clock.pass(0);
  wire.say("error", { code: "server_busy", retryable: true });
  await clock.pass(600);
  wire.say("error", { code: "resume_refused", retryable: false });
  await clock.pass(60_000);

  assert.deepEqual(heard.events, [["away", 30_000], ["refused", "resume_refused"]]);
  assert.ok(wire.isOpen);
  assert.equal(wire.opened, 3);
});

test("a close that is final ends the session", async () => {
  const { clock, heard, wire } = await begun();
  wire.break(4409);
  await clock.pass(60_000);

  assert.deepEqual(heard.events, [["lost", 4409]]);
});

test("a parked session is taken up again elsewhere, after a moment that differs", async () => {
  const { clock, heard, link, wire } = await begun(undefined, () => 0.8);
  wire.say("goAway", { time_left_ms: 3000, handle: "handle", seq: 1 });
  wire.say("session.ended", { reason: "parked", statistics: {}, seq: 2 });
  wire.taken();
  await clock.pass(799);
  assert.deepEqual(wire.taken(), []);
  link.deliverAudio(chunk(), 0);
  await clock.pass(1);
  assert.deepEqual(wire.taken(), [{ type: "resume", protocol: 1, token: "handle", seq: 3 }]);
  wire.say("session.resumed", { resume_token: "next", resume_seconds: 30, seq: 0, adopted: true });

  assert.deepEqual(numbers(wire.taken()), [0]);
  assert.deepEqual(heard.events.at(-1), ["back", { waitedMs: 800, isAdopted: true }]);
  assert.ok(!heard.messages.includes("session.ended"));
});

test("a server that leaves without a handle does not take the token away", async () => {
  const { clock, wire } = await begun();
  wire.say("goAway", { time_left_ms: 3000, handle: "", seq: 1 });
  wire.break();
  await clock.pass(0);

  assert.equal(wire.taken().at(-1).token, "first");
});

test("a session that has ended is not looked for", async () => {
  const { clock, heard, link, wire } = await begun();
  link.deliverAudio(chunk(), 0);
  wire.say("session.ended", { reason: "client", statistics: {}, seq: 1 });
  wire.break();
  await clock.pass(60_000);

  assert.deepEqual(heard.events, [["lost", 1006]]);
  assert.equal(wire.opened, 1);
  assert.equal(link.figures.kept_frames, 0);
});

test("a session that the user ended while it was away is not looked for", async () => {
  const { clock, heard, link, wire } = await begun();
  wire.isReachable = false;
  wire.break();
  await clock.pass(1000);
  const before = wire.opened;
  link.release();
  await clock.pass(60_000);

  assert.equal(wire.opened, before);
  assert.deepEqual(heard.events, [["away", 30_000]]);
  assert.equal(clock.timers.length, 0);
});

test("with a server that knows no resuming everything is as it was", async () => {
  const { clock, heard, link, wire } = await begun({});
  link.deliver({ type: "text", text: "Hola" });
  link.deliverAudio(chunk(), 0);
  wire.speak(0, [1]);
  wire.speak(1, [2]);
  wire.speak(3, [4]);
  await clock.pass(1000);

  const sent = wire.taken();
  assert.deepEqual(sent[1], { type: "text", text: "Hola" });
  assert.deepEqual([sent[2].seq, sent.length, link.figures.kept_frames], [0, 3, 0]);
  assert.deepEqual([heard.speech, link.figures.missing], [[1, 2, 4], 1]);
  wire.break();
  assert.deepEqual(heard.events, [["lost", 1006]]);
  assert.equal(link.deliverAudio(chunk(), 2), false);
});

test("the next session counts from zero", async () => {
  const { link, wire } = await begun();
  link.deliverAudio(chunk(), 0);
  wire.say("session.ended", { reason: "client", statistics: {}, seq: 1 });
  link.hello({});
  wire.say("session.started", { seq: 0, resume_token: "other", resume_seconds: 30 });
  wire.taken();
  link.deliverAudio(chunk(), 0);

  assert.deepEqual(numbers(wire.taken()), [0]);
  assert.equal(link.figures.missing, 0);
});

test("an error that answers one message has no number and reaches the page", async () => {
  const { heard, link, wire } = await begun();
  wire.say("error", { code: "bad_frame" });

  assert.deepEqual([heard.messages.at(-1), link.figures.missing], ["error", 0]);
});

test("what is no message is said to be none", async () => {
  const { heard, wire } = await begun();
  for (const text of ["{", "null", "[]", '"x"', "{}", '{"type":1}']) assert.equal(wire.listeners.text(text), false);

  assert.deepEqual(heard.events, Array(6).fill(["unreadable"]));
});

test("a pong and an acknowledgement show that we are heard, other messages do not", async () => {
  const { wire } = await begun();

  assert.deepEqual([wire.say("pong", { t: 1 }), wire.say("ack", { seq: 0 }), wire.say("usage", { seq: 1 })], [true, true, false]);
});

test("all of the microphone is kept while the session waits, in less than a megabyte", async () => {
  const { clock, link, wire } = await begun();
  wire.isReachable = false;
  wire.break();
  for (let at = 0; at < 29_000; at += 32) {
    clock.time = at;
    link.deliverAudio(chunk(512), 16 * at);
  }

  assert.ok(link.figures.kept_bytes < 1_000_000);
  assert.equal(link.figures.given_up, 0);
});

test("that a token has expired is told when there is no other", async () => {
  const { heard, wire } = await begun();
  wire.renew = async () => true;
  wire.say("error", { code: "token_expired", seq: undefined });
  await settled();
  const renewed = [...heard.messages];
  wire.renew = async () => false;
  wire.say("error", { code: "token_expired" });
  await settled();

  assert.deepEqual(renewed, ["session.started"]);
  assert.deepEqual(heard.messages, ["session.started", "error"]);
});

test("a token that is refused when the session is taken up again ends it", async () => {
  const { clock, heard, wire } = await begun();
  wire.break();
  await clock.pass(1_000);
  wire.say("error", { code: "token_expired", retryable: false });
  await settled();

  assert.deepEqual(heard.events.at(-1), ["refused", "token_expired"]);
});
