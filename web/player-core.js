/**
 * Decide what the speaker plays: an adaptive playout queue for speech that arrives in chunks, sometimes late, sometimes too fast.
 *
 * Pure: no clock, no DOM, no worklet globals; time is an argument in milliseconds. Every sample that was pushed is played exactly once and
 * in order, unless its turn is flushed. What the network does to the arrival shows as silence between samples, never as lost samples.
 *
 * States
 *   IDLE  no turn is queued
 *   FILL  a turn is queued, and waits until it has enough delay in hand
 *   PLAY  samples flow
 *   FADE  the flushed turn's last 5 ms
 *
 * Delay. Sample p of a turn belongs on the turn's media clock at base + p, where base is the earliest (arrival - place) seen before playback
 * began. A chunk's lateness is its arrival minus its place on that clock; the largest lateness of a turn is the delay that would have avoided
 * every gap in it. The next turn starts with the largest of the last eight such delays. The same idea, with the same names, is in
 * NetEQ and in RFC 3550's playout discussion; speech from the model comes faster than real time, so the delay stays small by itself.
 */

import { Resampler } from "./resampler.js";

const FIRST_TARGET_MS = 60;
const MIN_TARGET_MS = 30;
const MAX_TARGET_MS = 500;
const MARGIN_MS = 10;
const RESUME_MARGIN_MS = 20;
const TURNS_REMEMBERED = 8;
const FADE_MS = 5;

/** A chunk later than this is not jitter: the source paused (a tool ran, the connection stalled). It is not learned from. */
const PAUSE_MS = 1000;

/** Longest speech that may wait to be played; the model sends faster than real time, and a turn is far shorter than this. */
export const MAX_QUEUED_SECONDS = 300;

/** Input samples given to the resampler at a time: bounds the work of one render quantum. */
const SLICE = 256;

/** Where the first sound is taken to be: -50 dBFS. */
const AUDIBLE = 0.00316;

/** One turn's speech: its chunks, its media clock and what was played of it. */
class Turn {
  constructor(number, hertz, outputHertz) {
    this.number = number;
    this.hertz = hertz;
    this.outputHertz = outputHertz;
    this.chunks = [];
    this.offset = 0; // samples of chunks[0] already taken
    this.received = 0;
    this.taken = 0; // samples given to the resampler
    this.emitted = 0; // output samples played
    this.ended = false;
    this.anchor = 0; // samples received before the media clock's zero
    this.base = Infinity;
    this.need = 0;
    this.audible = false;
    this.earlierMs = 0; // played before a pause in which the turn was drained
  }

  get queued() {
    return this.received - this.taken;
  }

  /** Milliseconds of this turn that were played. */
  get playedMs() {
    return this.earlierMs + (1000 * this.emitted) / this.outputHertz;
  }

  /** Samples of the turn that were played, at its own rate. */
  get played() {
    return Math.min(this.received, Math.round((this.emitted * this.hertz) / this.outputHertz));
  }

  place(sample) {
    return (1000 * (sample - this.anchor)) / this.hertz;
  }

  push(pcm) {
    this.chunks.push(pcm);
    this.received += pcm.length;
  }

  /** Copy up to one slice of the queued samples as floats. */
  take(slice) {
    let count = 0;
    while (count < slice.length && this.chunks.length > 0) {
      const chunk = this.chunks[0];
      const step = Math.min(slice.length - count, chunk.length - this.offset);
      for (let i = 0; i < step; i++) slice[count + i] = chunk[this.offset + i] / 32768;
      count += step;
      this.offset += step;
      if (this.offset === chunk.length) {
        this.chunks.shift();
        this.offset = 0;
      }
    }
    this.taken += count;
    return slice.subarray(0, count);
  }
}

/** The playout queue of one speaker. */
export class PlayerCore {
  /**
   * @param {number} outputHertz rate at which `pull` is asked for samples
   * @param {(event: object) => void} report told of started, drained, flushed, underrun and overflow, each with its turn
   */
  constructor(outputHertz, report = () => {}) {
    this.outputHertz = outputHertz;
    this.report = report;
    this.state = "IDLE";
    this.turns = [];
    this.flushedTurn = -1;
    this.needs = [];
    this.heard = { turn: -1, ms: 0 }; // of the last turn that left the queue
    this.resampler = null;
    this.slice = new Float32Array(SLICE);
    this.ready = new Float32Array(0); // resampled, not yet played
    this.readyOffset = 0;
    this.counters = { received: 0, played: 0, underruns: 0, silence_ms: 0, late: 0, dropped: 0, flushed: 0 };
  }

  /** Delay in milliseconds with which the next turn will start. */
  get target() {
    if (this.needs.length === 0) return FIRST_TARGET_MS;
    return Math.min(MAX_TARGET_MS, Math.max(MIN_TARGET_MS, Math.max(...this.needs) + MARGIN_MS));
  }

  /** Milliseconds of speech that wait to be played. */
  get queuedMs() {
    return this.turns.reduce((sum, turn) => sum + (1000 * turn.queued) / turn.hertz, 0);
  }

  /** Counters and state for people and tests. */
  snapshot() {
    const turn = this.turns[0];
    return {
      ...this.counters,
      state: this.state,
      target_ms: Math.round(this.target),
      queued_ms: Math.round(this.queuedMs),
      turn: turn?.number ?? null,
      turn_played_ms: Math.round(turn?.playedMs ?? 0),
    };
  }

  /**
   * Queue a chunk.
   *
   * @param {number} number its turn; chunks of a flushed turn are dropped
   * @param {Int16Array} pcm
   * @param {number} hertz its rate
   * @param {number} clock when it arrived, in milliseconds of the audio clock
   */
  push(number, pcm, hertz, clock) {
    if (number <= this.flushedTurn) {
      this.counters.late += pcm.length;
      return;
    }
    if (this.queuedMs >= MAX_QUEUED_SECONDS * 1000) {
      if (this.counters.dropped === 0) this.report({ type: "overflow", turn: number });
      this.counters.dropped += pcm.length;
      return;
    }
    const turn = this.#turnFor(number, hertz);
    this.#learn(turn, clock);
    turn.push(pcm);
    this.counters.received += pcm.length;
  }

  /** Mark that no more speech comes in this turn: only with it do a gap and the end differ. */
  end(number) {
    const turn = this.turns.find((one) => one.number === number);
    if (turn) turn.ended = true;
  }

  /**
   * Throw away this turn and all before it, with a short fade so that nothing clicks.
   *
   * @param {number} number
   * @param {number} clock milliseconds of the audio clock
   */
  flush(number, clock) {
    this.flushedTurn = Math.max(this.flushedTurn, number);
    const old = this.turns.filter((turn) => turn.number <= number);
    const current = this.state === "PLAY" && old[0] === this.turns[0] ? old[0] : null;
    const fade = current ? this.#fadeOut(current) : new Float32Array(0);
    const discarded = old.reduce((sum, turn) => sum + turn.received - turn.played, 0);
    this.counters.flushed += discarded;
    if (old.length > 0) this.heard = { turn: old.at(-1).number, ms: old.at(-1).playedMs };
    this.turns = this.turns.filter((turn) => turn.number > number);
    if (old.length > 0 && this.state !== "FADE") {
      this.resampler = null;
      this.ready = fade;
      this.readyOffset = 0;
      this.state = fade.length > 0 ? "FADE" : this.#restingState();
    }
    this.report({
      type: "flushed",
      turn: number,
      discarded,
      heard_ms: this.heard.turn === number ? Math.round(this.heard.ms) : 0,
      was_playing: current !== null,
      clock: clock + (1000 * fade.length) / this.outputHertz,
    });
  }

  /**
   * Fill a block with what is to be heard from `clock` on.
   *
   * @param {Float32Array} out
   * @param {number} clock milliseconds of the audio clock at out[0]
   */
  pull(out, clock) {
    let filled = 0;
    while (filled < out.length) {
      const now = clock + (1000 * filled) / this.outputHertz;
      if (this.state === "FADE") {
        filled += this.#copyReady(out, filled);
        if (this.readyOffset === this.ready.length) this.state = this.#restingState();
      } else if (this.state === "PLAY") {
        filled += this.#play(out, filled, now);
      } else if (!this.#maybeStart(now)) {
        if (this.state === "FILL" && this.turns[0].emitted > 0) this.#countSilence(out.length - filled);
        out.fill(0, filled);
        return;
      }
    }
  }

  #restingState() {
    return this.turns.length > 0 ? "FILL" : "IDLE";
  }

  #turnFor(number, hertz) {
    let turn = this.turns.find((one) => one.number === number);
    if (!turn) {
      for (const earlier of this.turns) if (earlier.number < number) earlier.ended = true; // its marker was forgotten
      turn = new Turn(number, hertz, this.outputHertz);
      if (this.heard.turn === number) turn.earlierMs = this.heard.ms;
      this.turns.push(turn);
      if (this.state === "IDLE") this.state = "FILL";
    }
    turn.ended = false; // a turn may speak again after a tool
    return turn;
  }

  #learn(turn, clock) {
    const isCurrent = this.turns[0] === turn;
    const isPlaying = isCurrent && this.state === "PLAY";
    const zero = clock - turn.place(turn.received);
    if (turn.emitted === 0 && !isPlaying) {
      turn.base = Math.min(turn.base, zero);
    } else if (isCurrent && this.state === "FILL" && zero - turn.base - turn.need > PAUSE_MS) {
      turn.anchor = turn.received;
      turn.base = clock;
    }
    turn.need = Math.max(turn.need, Math.min(PAUSE_MS, clock - turn.place(turn.received) - turn.base));
  }

  #maybeStart(now) {
    const turn = this.turns[0];
    if (!turn || (turn.queued === 0 && !turn.ended)) return false;
    const place = turn.place(turn.taken);
    const isResuming = turn.emitted > 0 && place > 0;
    const delay = isResuming ? turn.need + RESUME_MARGIN_MS : this.target;
    if (!turn.ended && now < turn.base + place + delay) return false;
    if (this.resampler === null) this.resampler = new Resampler(turn.hertz, this.outputHertz);
    this.state = "PLAY";
    return true;
  }

  /** Play into the block; returns the samples written, which may be none when the state changes. */
  #play(out, filled, now) {
    const turn = this.turns[0];
    if (this.readyOffset === this.ready.length) this.#prepare(turn);
    if (this.readyOffset < this.ready.length) {
      if (!turn.audible) this.#findAudible(turn, now);
      const count = this.#copyReady(out, filled);
      const before = turn.played;
      turn.emitted += count;
      this.counters.played += turn.played - before;
      return count;
    }
    if (turn.ended) this.#finish(turn, now);
    else this.#starve(turn, now);
    return 0;
  }

  #prepare(turn) {
    this.readyOffset = 0;
    this.ready = this.slice.subarray(0, 0);
    while (this.ready.length === 0 && turn.queued > 0) this.ready = this.resampler.process(turn.take(this.slice));
    if (this.ready.length === 0 && turn.ended) this.ready = this.resampler.flush();
  }

  #copyReady(out, filled) {
    const count = Math.min(out.length - filled, this.ready.length - this.readyOffset);
    out.set(this.ready.subarray(this.readyOffset, this.readyOffset + count), filled);
    this.readyOffset += count;
    return count;
  }

  #findAudible(turn, now) {
    for (let i = this.readyOffset; i < this.ready.length; i++) {
      if (Math.abs(this.ready[i]) >= AUDIBLE) {
        turn.audible = true;
        const clock = now + (1000 * (i - this.readyOffset)) / this.outputHertz;
        this.report({ type: "started", turn: turn.number, clock, delay_ms: Math.round(clock - turn.base - turn.playedMs) });
        return;
      }
    }
  }

  #finish(turn, now) {
    this.#remember(turn);
    this.turns.shift();
    this.heard = { turn: turn.number, ms: turn.playedMs };
    this.resampler = null;
    this.state = this.#restingState();
    this.report({ type: "drained", turn: turn.number, heard_ms: Math.round(turn.playedMs), clock: now });
  }

  #starve(turn, now) {
    this.state = "FILL";
    this.counters.underruns += 1;
    this.report({ type: "underrun", turn: turn.number, clock: now });
  }

  #countSilence(samples) {
    this.counters.silence_ms += (1000 * samples) / this.outputHertz;
  }

  #remember(turn) {
    this.needs.push(turn.need);
    if (this.needs.length > TURNS_REMEMBERED) this.needs.shift();
  }

  /** Take the next 5 ms of the turn and let them die away. */
  #fadeOut(turn) {
    const fade = new Float32Array(Math.round((FADE_MS * this.outputHertz) / 1000));
    let count = 0;
    while (count < fade.length) {
      if (this.readyOffset === this.ready.length) this.#prepare(turn);
      if (this.readyOffset === this.ready.length) break;
      count += this.#copyReady(fade, count);
    }
    for (let i = 0; i < count; i++) fade[i] *= 0.5 * (1 + Math.cos((Math.PI * (i + 1)) / count));
    const before = turn.played;
    turn.emitted += count;
    this.counters.played += turn.played - before;
    this.#remember(turn);
    return fade.subarray(0, count);
  }
}
