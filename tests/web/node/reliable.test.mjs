// Numbers, acknowledgements, and the signs of life of a connection.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Liveness } from "../../../web/liveness.js";
import { LinkStatus } from "../../../web/link-status.js";
import { PlaybackReports } from "../../../web/playback-reports.js";
import { Inbox, Outbox } from "../../../web/reliable.js";

function outboxWith(count, limits = { keepMs: 30_000, keepBytes: 1e6 }) {
  const outbox = new Outbox(limits);
  for (let i = 0; i < count; i++) outbox.keep(outbox.take(), new ArrayBuffer(10 + i), 32 * i);
  return outbox;
}

const sizes = (frames) => frames.map((frame) => frame.byteLength);

test("what the server does not have is sent again, in order and with its old number", () => {
  const outbox = outboxWith(5);
  outbox.acknowledge(2);

  assert.deepEqual(sizes(outbox.from(3)), [13, 14]);
  assert.equal(outbox.take(), 5);
  assert.equal(outbox.bytes, 27);
});

test("an acknowledgement that is old or goes beyond everything does no harm", () => {
  const outbox = outboxWith(3);
  outbox.acknowledge(2);
  outbox.acknowledge(1);
  assert.equal(outbox.kept.length, 1);
  outbox.acknowledge(3);

  assert.deepEqual([outbox.kept.length, outbox.bytes, outbox.next], [0, 0, 3]);
});

test("a server that wants less than is still kept gets all that there is", () => {
  const outbox = outboxWith(4);
  outbox.acknowledge(2);

  assert.deepEqual(sizes(outbox.from(0)), [12, 13]);
});

test("frames are kept as they are, not copied", () => {
  const outbox = new Outbox({ keepMs: 1000, keepBytes: 1e6 });
  const frame = new ArrayBuffer(1040);
  outbox.keep(outbox.take(), frame, 0);

  assert.equal(outbox.from(0)[0], frame);
});

test("what is too old to be wanted is given up and counted", () => {
  const outbox = outboxWith(40, { keepMs: 320, keepBytes: 1e6 });

  assert.equal(outbox.kept.length, 11);
  assert.equal(outbox.dropped, 29);
  assert.equal(outbox.kept[0].number, 29);
});

test("however little the server acknowledges, the bytes kept are bounded", () => {
  const outbox = new Outbox({ keepMs: 1e9, keepBytes: 5000 });
  for (let i = 0; i < 1000; i++) outbox.keep(outbox.take(), i % 2 ? new ArrayBuffer(1040) : "x".repeat(100), i);
  outbox.keep(outbox.take(), new ArrayBuffer(6000), 1000);

  assert.deepEqual([outbox.bytes, outbox.kept.length, outbox.dropped], [0, 0, 1001]);
});

test("without resuming nothing is kept, and frames are numbered all the same", () => {
  const outbox = outboxWith(3, {});

  assert.deepEqual([outbox.next, outbox.kept.length, outbox.bytes], [3, 0, 0]);
});

test("a session that is over keeps nothing", () => {
  const outbox = outboxWith(3);
  outbox.stop();
  outbox.keep(outbox.take(), new ArrayBuffer(8), 200);

  assert.deepEqual([outbox.kept.length, outbox.bytes, outbox.dropped], [0, 0, 0]);
});

test("half a minute of microphone fits into a megabyte", () => {
  const outbox = new Outbox({ keepMs: 30_000, keepBytes: 30 * 34_000 });
  for (let at = 0; at < 30_000; at += 32) outbox.keep(outbox.take(), new ArrayBuffer(1040), at);

  assert.equal(outbox.dropped, 0);
  assert.ok(outbox.bytes < 1_000_000);
});

test("what comes again is not taken again", () => {
  const inbox = new Inbox();
  const taken = [0, 1, 2, 1, 2, 3].filter((number) => inbox.take(number));

  assert.deepEqual(taken, [0, 1, 2, 3]);
  assert.deepEqual([inbox.next, inbox.repeated, inbox.missing], [4, 2, 0]);
});

test("a gap is taken and counted", () => {
  const inbox = new Inbox();
  for (const number of [0, 1, 5, 6]) assert.ok(inbox.take(number));

  assert.deepEqual([inbox.next, inbox.missing], [7, 3]);
});

test("numbers of binary frames wrap, those of messages go on", () => {
  const inbox = new Inbox();
  inbox.take(4_294_967_294);
  for (const number of [4_294_967_295, 0, 4_294_967_297]) assert.ok(inbox.take(number));

  assert.equal(inbox.take(1), false);
  assert.equal(inbox.next, 4_294_967_298);
});

test("speech that is numbered by itself is counted, and never dropped", () => {
  const inbox = new Inbox();
  for (const number of [7, 8, 10, 0]) inbox.count(number);

  assert.deepEqual([inbox.missing, inbox.repeated], [2, 0]);
});

/** Tick every half second until `until`; `pong(now)` says when the other side answers. Returns [time, verdict] pairs. */
function live(liveness, until, pong = () => false) {
  const verdicts = [];
  for (let now = 0; now <= until; now += 500) {
    if (pong(now)) liveness.heard(true);
    const verdict = liveness.tick(now);
    if (verdict) verdicts.push([now, verdict]);
    if (verdict === "dead") break;
  }
  return verdicts;
}

test("a connection that answers is asked every three seconds", () => {
  const verdicts = live(new Liveness(0), 9000, (now) => now % 1000 === 500);

  assert.deepEqual(verdicts, [[0, "ping"], [3000, "ping"], [6000, "ping"], [9000, "ping"]]);
});

test("five seconds without a word after a ping are the end", () => {
  const verdicts = live(new Liveness(0), 60_000, (now) => now === 500);

  assert.deepEqual(verdicts.at(-1), [8000, "dead"]);
});

test("speech alone keeps a connection for a while, but not when nothing of ours arrives", () => {
  const liveness = new Liveness(0);
  const verdicts = [];
  for (let now = 0; now <= 20_000 && verdicts.at(-1) !== "dead"; now += 500) {
    liveness.heard(false);
    verdicts.push(liveness.tick(now));
  }

  assert.equal(verdicts.at(-1), "dead");
  assert.equal(verdicts.length, 31);
});

test("when the network may have changed the answer is asked for at once and waited for less", () => {
  const liveness = new Liveness(0);
  liveness.tick(0);
  liveness.heard(true);
  liveness.suspect();

  assert.equal(liveness.tick(500), "ping");
  assert.equal(liveness.tick(1500), null);
  assert.equal(liveness.tick(2000), "dead");
});

test("a page that slept hears first what came meanwhile", () => {
  const liveness = new Liveness(0);
  liveness.tick(0);

  assert.equal(liveness.tick(600_000), "ping");
  liveness.heard(true);
  assert.equal(liveness.tick(600_500), null);
});

test("heard speech is reported four times a second, and its end at once", () => {
  const reports = new PlaybackReports();
  const told = [0, 100, 250, 300, 500].map((now) => reports.progress(2, now, now)).filter(Boolean);

  assert.deepEqual(told.map((report) => report.heard_ms), [0, 250, 500]);
  assert.deepEqual(reports.end(2, 510, 510), { type: "playback", turn: 2, heard_ms: 510 });
  assert.equal(reports.end(0, 0, 600), null);
});

test("the last word on the last two turns can be told again", () => {
  const reports = new PlaybackReports();
  for (const [turn, ms] of [[2, 900], [4, 100], [4, 800], [6, 10]]) reports.end(turn, ms, 0);

  assert.deepEqual(reports.recent.map(({ turn, heard_ms: ms }) => [turn, ms]), [[4, 800], [6, 10]]);
});

test("the status says what is missing, and goes away with it", () => {
  const told = [];
  const status = new LinkStatus((change) => told.push([change.status, change.until]));
  status.take({ type: "session.stalled", code: "model_lost" });
  status.away(5000);
  status.take({ type: "session.continued" });
  status.back();
  status.take({ type: "session.stalled", code: "model_lost" });
  status.back(true);

  assert.deepEqual(told, [["stalled", null], ["reconnecting", 5000], ["up", null], ["stalled", null], ["up", null]]);
});

test("audio that the server dropped is added up until the next session", () => {
  const status = new LinkStatus();
  for (const [direction, ms] of [["up", 120], ["down", 40], ["up", 30]]) status.take({ type: "audio.dropped", direction, ms });
  assert.deepEqual(status.dropped, { up: 150, down: 40 });
  status.reset();

  assert.deepEqual(status.dropped, { up: 0, down: 0 });
});
