/**
 * A session's way to the server, which outlives its connections: what the server did not get is sent again, what was lost on its way to us is
 * asked for again, and nothing comes twice. docs/reference/binary-dialect.md describes the messages.
 *
 * States
 *   idle     no session, or one that dies with its connection
 *   up       a session that can be taken up again, on an open connection
 *   away     its connection was lost; the next attempt waits for its time
 *   trying   a connection is being opened, or the server was asked to go on
 *
 * In `away` and `trying` everything that would be sent is kept; what is kept is bounded (Outbox).
 */

import { Connection, LOST, readCloseCode, retryDelay } from "./connection.js";
import { decodeFrame, MICROPHONE, SPEECH, writeHeader } from "./frames.js";
import { Inbox, Outbox } from "./reliable.js";
import { SignIn } from "./sign-in.js";

const ACK_MS = 250;
const RESUME_OPEN_MS = 4_000;
const RESUME_ANSWER_MS = 5_000;
const RESUME_RETRY_CAP_MS = 3_000;

/** A server that leaves sends all its clients away at once; they shall not all come to the next one in the same moment. */
const PARKED_JITTER_MS = 1_000;

/** Bytes kept for each second: 16 kHz PCM16 in frames of 32 ms with their headers, and room for what is typed. */
const KEPT_BYTES_PER_SECOND = 34_000;

/** Timers and time of the browser; tests have others. */
export const BROWSER_CLOCK = {
  now: () => performance.now(),
  after: (ms, run) => setTimeout(run, ms),
  cancel: (timer) => clearTimeout(timer),
};

const SECRETS = new Set(["resume_token", "token", "handle"]);

/** The message as people may see it and pass it on: whoever has a session's token can take the session. */
function withoutSecrets(message) {
  return Object.fromEntries(Object.entries(message).map(([name, value]) => [name, SECRETS.has(name) ? "…" : value]));
}

export class SessionLink {
  /**
   * @param {object} listeners
   *   seen(direction, message): every control message, once, without its secrets
   *   message(message): every control message of the session once and in order, and those outside of it
   *   speech(frame): every frame of speech once and in order
   *   away(until): the connection was lost; it will be tried until then (`clock.now`)
   *   back({waitedMs, isAdopted}): the session goes on
   *   refused(error): it does not, says the server, whose connection is open
   *   lost({code}): it does not, and there is no connection; also for a session that could not be taken up again
   *   unreadable(): something came that is no message
   * @param {{connect?: Function, clock?: typeof BROWSER_CLOCK, random?: () => number, token?: string | Function}} world `token`: see SignIn
   */
  constructor(listeners, { connect = (own) => new Connection(own), clock = BROWSER_CLOCK, random = Math.random, token = null } = {}) {
    this.listeners = listeners;
    this.clock = clock;
    this.random = random;
    this.connection = connect({
      text: (data) => this.#onText(data),
      frame: (data) => this.#onFrame(data),
      close: (event) => this.#onClose(event),
      ping: () => this.ping(),
    });
    this.connection.signIn = new SignIn(token);
    this.state = "idle";
    this.attempts = 0; // tells an attempt that was given up from the present one
    this.resumes = 0;
    this.#reset();
  }

  /** Whether what is sent now leaves now. */
  get isUp() {
    return this.connection.isOpen && (this.state === "up" || this.state === "idle");
  }

  /** Whether the session waits for its next connection. */
  get isAway() {
    return this.state === "away" || this.state === "trying";
  }

  /** Counters, for people and tests; plain data. */
  get figures() {
    return {
      state: this.state,
      resumes: this.resumes,
      kept_frames: this.outbox.kept.length,
      kept_bytes: this.outbox.bytes,
      given_up: this.outbox.dropped,
      repeated: this.inbox.repeated,
      missing: this.inbox.missing,
    };
  }

  /**
   * Open the connection, unless it is open.
   *
   * @throws {Error}
   */
  open(url) {
    this.url = url;
    return this.connection.open(url);
  }

  /** Ask for a new session. */
  hello(message) {
    this.#reset();
    this.send({ type: "hello", protocol: 1, ...message, resume: true });
  }

  /** Send what has no meaning later; dropped while the connection is away. */
  send(message) {
    if (this.isUp) this.#transmit(message);
  }

  /** Measure the round trip, and see whether the server is there. */
  ping() {
    if (this.connection.isOpen) this.#transmit({ type: "ping", t: Math.round(this.clock.now() * 1000) / 1000 });
  }

  /** Send what must arrive. */
  deliver(message) {
    if (!this.outbox.isKeeping) {
      this.send(message);
      return;
    }
    const numbered = { ...message, seq: this.outbox.take() };
    this.#keepAndSend(numbered.seq, JSON.stringify(numbered));
    this.listeners.seen("out", numbered);
  }

  /**
   * Send a chunk of the microphone.
   *
   * @param {ArrayBuffer} frame with room for the header
   * @returns {boolean} whether it was sent or kept
   */
  deliverAudio(frame, sampleOffset) {
    if (!this.isUp && !this.isAway) return false;
    const seq = this.outbox.take();
    writeHeader(frame, { kind: MICROPHONE, seq, sampleOffset, timeMs: this.clock.now() });
    this.#keepAndSend(seq, frame);
    return true;
  }

  /** The session is to end: its connection may go without being missed. */
  release() {
    if (this.isAway) this.connection.drop();
    this.#retire();
  }

  /** Close the connection. */
  close(code, reason) {
    this.connection.close(code, reason);
  }

  /** The network changed, or the page woke up: look at once. */
  suspect() {
    if (this.state === "away") this.#try();
    else this.connection.suspect();
  }

  #reset() {
    this.isNumbered = false;
    this.inbox = new Inbox();
    this.outbox = new Outbox();
    this.#retire();
  }

  /** The session will not be taken up again; its counters stay. */
  #retire() {
    this.clock.cancel(this.timer);
    this.clock.cancel(this.ackTimer);
    this.ackTimer = null;
    this.attempts += 1;
    this.state = "idle";
    this.token = null;
    this.outbox.stop();
  }

  #transmit(message) {
    this.connection.send(JSON.stringify(message));
    this.listeners.seen("out", withoutSecrets(message));
  }

  #keepAndSend(seq, data) {
    this.outbox.keep(seq, data, this.clock.now());
    if (this.isUp) this.connection.send(data);
  }

  // What comes

  #onText(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      message = null;
    }
    if (typeof message?.type !== "string") {
      this.listeners.unreadable();
      return false;
    }
    if (this.#isNew(message)) {
      this.listeners.seen("in", withoutSecrets(message));
      this.#onMessage(message);
    }
    return message.type === "pong" || message.type === "ack";
  }

  /** `ack` and `session.resumed` carry numbers of the other direction. */
  #isNew({ type, seq }) {
    if (!this.isNumbered || seq === undefined || type === "ack" || type === "session.resumed") return true;
    return this.#take(seq);
  }

  #take(seq) {
    this.ackTimer ??= this.clock.after(ACK_MS, () => this.#acknowledge());
    return this.inbox.take(seq);
  }

  #acknowledge() {
    this.ackTimer = null;
    if (this.state === "up") this.send({ type: "ack", seq: this.inbox.next });
  }

  #onMessage(message) {
    switch (message.type) {
      case "ack":
        return this.outbox.acknowledge(message.seq);
      case "session.resumed":
        return this.#onResumed(message);
      case "error":
        return message.code === "token_expired" && this.state !== "trying" ? this.#renew(message) : this.#onError(message);
      case "session.started":
        this.#onStarted(message);
        break;
      case "goAway":
        this.token = message.handle || this.token;
        break;
      case "session.ended":
        if (message.reason === "parked" && this.token !== null) return this.#goElsewhere();
        this.release();
        break;
    }
    return this.listeners.message(message);
  }

  #onError(message) {
    return this.state === "trying" ? this.#onRefused(message) : this.listeners.message(message);
  }

  /** Nobody needs to know that the token has expired if there is another. */
  async #renew(message) {
    if (!(await this.connection.renew())) this.#onError(message);
  }

  #onFrame(data) {
    const frame = decodeFrame(data);
    if (frame === null || frame.kind !== SPEECH) return;
    if (!this.isNumbered) this.inbox.count(frame.seq);
    else if (!this.#take(frame.seq)) return;
    if (frame.pcm.length > 0) this.listeners.speech(frame); // an interruption may have emptied what comes again
  }

  #onStarted({ seq, resume_token: token, resume_seconds: seconds }) {
    this.isNumbered = seq !== undefined;
    if (this.isNumbered) this.inbox.take(seq);
    if (!token || !this.isNumbered) return;
    this.state = "up";
    this.#keepToken(token, seconds);
    this.outbox = new Outbox({ keepMs: 1000 * seconds, keepBytes: KEPT_BYTES_PER_SECOND * seconds });
  }

  #keepToken(token, seconds) {
    this.token = token;
    this.resumeSeconds = seconds;
  }

  // Losing the connection and coming back

  #onClose(event) {
    if (this.state === "trying" && !readCloseCode(event.code).isFinal) this.#again();
    else if (this.state === "up" && !readCloseCode(event.code).isFinal) this.#leave();
    else this.#giveUp(event.code);
  }

  #leave(delayMs = 0) {
    this.lostAt = this.clock.now();
    this.until = this.lostAt + 1000 * this.resumeSeconds;
    this.retries = 0;
    this.#wait(delayMs);
    this.listeners.away(this.until);
  }

  #goElsewhere() {
    this.connection.drop();
    this.#leave(this.random() * PARKED_JITTER_MS);
  }

  #wait(ms) {
    this.state = "away";
    this.clock.cancel(this.timer);
    const left = this.until - this.clock.now();
    this.timer = ms <= left ? this.clock.after(ms, () => this.#try()) : this.clock.after(left, () => this.#giveUp(LOST));
  }

  #again() {
    this.connection.drop();
    this.#wait(retryDelay(this.retries++, this.random, RESUME_RETRY_CAP_MS));
  }

  async #try() {
    this.clock.cancel(this.timer);
    this.state = "trying";
    this.attempts += 1;
    const attempt = this.attempts;
    try {
      await this.connection.open(this.url, RESUME_OPEN_MS);
    } catch {
      if (attempt === this.attempts) this.#again();
      return;
    }
    if (attempt !== this.attempts) return;
    this.timer = this.clock.after(RESUME_ANSWER_MS, () => this.#again());
    this.#transmit({ type: "resume", protocol: 1, token: this.token, seq: this.inbox.next });
  }

  #onResumed({ resume_token: token, resume_seconds: seconds, seq, adopted }) {
    if (this.state !== "trying") return;
    this.clock.cancel(this.timer);
    this.state = "up";
    this.resumes += 1;
    this.#keepToken(token, seconds);
    for (const data of this.outbox.from(seq)) this.connection.send(data);
    this.listeners.back({ waitedMs: this.clock.now() - this.lostAt, isAdopted: Boolean(adopted) });
  }

  #onRefused(error) {
    if (error.retryable) {
      this.#again();
      return;
    }
    this.#retire();
    this.listeners.refused(error);
  }

  #giveUp(code) {
    this.#retire();
    this.connection.drop();
    this.listeners.lost({ code });
  }
}
