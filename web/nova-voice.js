/**
 * A client of the voice server: protocol, microphone and loudspeaker, without any page around it.
 *
 *   const voice = new NovaVoice({ url: "wss://example.org/" });
 *   voice.addEventListener("message", ({ detail }) => console.log(detail.direction, detail.message));
 *   button.onclick = () => voice.start({ language: "es" });      // inside a user gesture
 *
 * Events (CustomEvent, all with `detail`):
 *   state    {state}                                  see states.js
 *   link     {status, until}                          LinkStatus's; until when the session waits for its connection
 *   message  {direction: "in" | "out", at, message}   every control message
 *   mark     {name, at, turn, ms?}                    moments measured by the page: user_started, user_stopped, typed, speech_arrived,
 *                                                     heard, silent, drained, gap, link_lost, link_back
 *   level    {who: "user" | "assistant", rms, at}     about thirty times a second
 *   metrics  {...}                                    diagnostics()
 *   problem  {code, message?, retryable?, ref?, retry_ms?}  what went wrong; retry_ms: when it is tried again by itself
 * Times (`at`) are milliseconds of `performance.now()`.
 */

import { AudioDevice } from "./audio-device.js";
import { LOST, readCloseCode, retryDelay, waitAsTold } from "./connection.js";
import { HEADER_BYTES } from "./frames.js";
import { LatencyMeter } from "./latency.js";
import { LinkStatus } from "./link-status.js";
import { watchNetwork } from "./network-watch.js";
import { PlaybackReports } from "./playback-reports.js";
import { SessionLink } from "./session-link.js";
import { LIVE } from "./states.js";
import { VoiceActivity } from "./voice-activity.js";

const INPUT_HERTZ = 16_000;
const OUTPUT_HERTZ = 24_000;
const CHUNK_SAMPLES = 512; // 32 ms
const START_TIMEOUT_MS = 20_000;
const END_TIMEOUT_MS = 3_000;
const RECENT_VOICE_MS = 1_500;
const RETRIES = 8;

/** One conversation partner. May be started and ended many times. */
export class NovaVoice extends EventTarget {
  /** @param {{url: string | URL, token?: string | Function, base?: string | URL}} options `token`: see SignIn; `base`: this module's folder */
  constructor({ url, token = null, base = new URL(".", import.meta.url) }) {
    super();
    this.url = url;
    this.base = base;
    this.state = "ready";
    this.session = null;
    this.link = new SessionLink({
      seen: (direction, message) => this.#onSeen(direction, message),
      message: (message) => this.#onMessage(message),
      speech: (frame) => this.#onSpeech(frame),
      away: (until) => this.#onAway(until),
      back: (how) => this.#onBack(how),
      refused: (error) => this.#onRefused(error),
      lost: (event) => this.#onLost(event),
      unreadable: () => this.#problem({ code: "bad_frame" }),
    }, { token });
    this.device = null;
    this.choice = null; // what the running session was started with
    this.isEnding = false;
    this.attempt = 0;
    this.activity = new VoiceActivity();
    this.latency = new LatencyMeter();
    this.sent = { chunks: 0, samples: 0 };
    this.player = {};
    this.speech = { samples: 0, frames: 0, turn: 0, lastTurn: 0, hertz: OUTPUT_HERTZ };
    this.reports = new PlaybackReports();
    this.linkStatus = new LinkStatus((change) => this.#onLink(change));
    this.rttMs = null;
    this.receivedAt = 0; // the message that is being dealt with; what caused it happened before
  }

  /** Whether a session runs. */
  get isLive() {
    return LIVE.has(this.state);
  }

  /** Whether a microphone is open. */
  get hasMicrophone() {
    return Boolean(this.device?.stream);
  }

  /** Whether the microphone is muted. */
  get isMuted() {
    return Boolean(this.device?.muted);
  }

  /**
   * Start a session. Call it from a user gesture: browsers start sound and microphone only then.
   *
   * @param {{assistant?: string, language?: string, voice?: string, microphone?: boolean}} choice
   * @returns {Promise<boolean>} false when the microphone could not be had; a `problem` event said why, and no session was started
   */
  async start({ microphone = true, ...choice } = {}) {
    clearTimeout(this.retryTimer);
    this.#openDevice();
    this.#setState("connecting");
    if (microphone && !(await this.addMicrophone())) {
      this.#setState("ready");
      return false;
    }
    await this.device.prepared;
    this.choice = choice;
    this.attempt = 0;
    await this.#connect();
    return true;
  }

  /** Add the microphone to a session that was begun by typing. */
  async addMicrophone() {
    try {
      await this.device.openMicrophone();
      return true;
    } catch (error) {
      this.#problem({ code: error.code ?? "microphone_busy" });
      return false;
    }
  }

  /** Say something by typing. */
  sendText(text) {
    this.latency.userTyped(this.device.clock, this.isSpeaking);
    this.#mark("typed", performance.now());
    this.link.deliver({ type: "text", text });
    this.#setState("thinking");
  }

  /** Ask the assistant to be quiet; the loudspeaker is silent at once, without waiting for the server. */
  interrupt() {
    if (!this.isLive) return;
    if (this.isSpeaking) {
      this.latency.interruptionBegan(this.device.clock);
      this.device.flush(this.speech.turn);
    }
    this.link.deliver({ type: "interrupt" });
  }

  /** Mute or unmute; a muted microphone sends silence. */
  mute(muted) {
    this.device?.mute(muted);
    this.#metrics();
  }

  /** End the session; the connection stays for the next one. */
  end() {
    clearTimeout(this.retryTimer);
    if (this.state === "ready" || this.state === "ended") return;
    this.isEnding = true;
    this.#flushAll();
    if (this.isLive && this.link.isUp) {
      this.device.stopChunks();
      this.#sendEnd();
      this.timer = setTimeout(() => this.link.close(), END_TIMEOUT_MS);
    } else {
      this.link.release();
      this.link.close();
      this.#finish("ended");
    }
  }

  /** Let the connection and the sound hardware go. */
  async close() {
    clearTimeout(this.retryTimer);
    this.isEnding = true;
    if (this.isLive) this.#sendEnd();
    this.link.close();
    this.stopWatching?.();
    await this.device?.close();
    this.device = null;
  }

  /** Try again now, after the connection was lost. */
  retry() {
    clearTimeout(this.retryTimer);
    return this.#connect();
  }

  /** Whether speech is being played, or waits to be. */
  get isSpeaking() {
    return this.speech.turn !== 0;
  }

  /** Counters and figures of this page, for people and tests; plain data. */
  diagnostics() {
    return {
      state: this.state,
      session: this.session,
      context_hertz: this.device?.context.sampleRate ?? null,
      microphone: { open: this.hasMicrophone, muted: this.isMuted, ...this.sent, buffered_bytes: this.link.connection.bufferedBytes },
      speech: { samples: this.speech.samples, frames: this.speech.frames, missing: this.link.figures.missing },
      link: { status: this.linkStatus.status, ...this.link.figures, dropped_ms: { ...this.linkStatus.dropped } },
      player: { ...this.player },
      reply_ms: [...this.latency.replies],
      barge_in_ms: [...this.latency.interruptions],
      network_rtt_ms: this.rttMs,
    };
  }

  // The connection

  async #connect() {
    this.#setState("connecting");
    this.isEnding = false;
    try {
      await this.link.open(this.url);
    } catch {
      if (!this.isEnding) this.#retryOrEnd({ code: LOST });
      return;
    }
    if (this.isEnding) {
      this.link.close(); // the user ended it while it was being opened
      return;
    }
    this.#resetSession();
    this.link.hello({ ...this.choice, input_hertz: INPUT_HERTZ, output_hertz: OUTPUT_HERTZ });
    this.timer = setTimeout(() => this.state === "connecting" && this.link.close(), START_TIMEOUT_MS);
  }

  #onLost(event) {
    clearTimeout(this.timer);
    this.rttMs = null;
    this.linkStatus.back(true);
    if (!this.isLive && this.state !== "connecting") return;
    if (this.isEnding) this.#finish("ended");
    else this.#retryOrEnd(event);
  }

  /** There is no session any more: a new one is tried for a while, unless that would fail in the same way. */
  #retryOrEnd({ code }) {
    const { problem, isFinal } = readCloseCode(code);
    const told = { code: problem ?? (this.session ? "connection_lost" : "server_unreachable"), retryable: true };
    this.#tryLater(told, isFinal ? null : retryDelay(this.attempt));
  }

  /** Try again after so many milliseconds; null does not. */
  #tryLater(problem, delay) {
    this.device?.stopChunks();
    this.#flushAll();
    if (delay === null || this.attempt >= RETRIES) {
      this.#finish("ended");
      this.#problem(problem);
      return;
    }
    this.attempt += 1;
    this.#setState("retrying");
    this.#problem({ ...problem, retry_ms: delay });
    this.retryTimer = setTimeout(() => this.#connect(), delay);
  }

  #sendEnd() {
    this.link.send({ type: "end" });
    this.link.release();
  }

  // The session waits for its connection: microphone, player, turns and figures go on meanwhile

  #onAway(until) {
    this.rttMs = null;
    this.#mark("link_lost", performance.now());
    this.linkStatus.away(until);
  }

  #onBack({ isAdopted }) {
    this.#mark("link_back", performance.now());
    if (isAdopted) this.device.endTurn(this.speech.turn); // another server knows nothing of its rest
    for (const report of this.reports.recent) this.link.send(report);
    this.linkStatus.back(isAdopted);
  }

  #onRefused(error) {
    this.#flushAll();
    this.#finish("ended");
    this.#problem({ ...error, retryable: true }); // with a new session
  }

  #onLink(change) {
    this.#emit("link", change);
    this.#metrics();
  }

  // What the server says

  #onSeen(direction, message) {
    const at = performance.now();
    if (direction === "in") this.receivedAt = at;
    this.#emit("message", { direction, at, message });
  }

  #onMessage(message) {
    this.linkStatus.take(message);
    switch (message.type) {
      case "session.started":
        return this.#onStarted(message);
      case "user.speech_started":
        return this.#onUserStarted();
      case "user.speech_ended":
        return this.#onUserStopped();
      case "speech.started":
        return this.#onSpeechStarted(message);
      case "speech.ended":
        return this.device.endTurn(message.turn);
      case "interrupted":
        this.latency.interruptionBegan(this.#voiceOnset());
        return this.device.flush(message.turn);
      case "tool.started":
        return this.isSpeaking ? undefined : this.#setState("thinking");
      case "error":
        return this.#onError(message);
      case "session.ended":
        return this.#onEnded(message);
      case "pong":
        return this.#onPong(message);
      default:
        return undefined; // transcripts, tools and usage are the listeners' business; unknown types are for later versions
    }
  }

  #onStarted({ resume_token: _, ...session }) {
    clearTimeout(this.timer);
    this.attempt = 0;
    this.linkStatus.reset();
    this.session = session;
    this.speech.hertz = session.output_hertz;
    this.device.clear();
    this.device.startChunks();
    this.link.ping();
    this.#setState("listening");
  }

  #onEnded({ reason }) {
    this.#finish("ended");
    const isUnexplained = ["server_leaving", "client_lost", "operator"].includes(reason); // an error came before the others
    if (isUnexplained && !this.isEnding) this.#problem({ code: reason, retryable: true });
  }

  /** When the user began to speak: by the page's own measure if it heard something lately, else now. */
  #voiceOnset() {
    const { clock } = this.device;
    const { startedAt, lastVoicedAt } = this.activity;
    return lastVoicedAt !== null && clock - lastVoicedAt < RECENT_VOICE_MS ? startedAt : clock;
  }

  #onUserStarted() {
    const onset = this.#voiceOnset();
    this.#mark("user_started", Math.min(this.receivedAt, this.device.toPageClock(onset)));
    if (this.isSpeaking) this.latency.interruptionBegan(onset);
    this.#setState("hearing");
  }

  #onUserStopped() {
    const { lastVoicedAt } = this.activity;
    this.latency.userStopped(this.hasMicrophone ? lastVoicedAt : null, this.device.clock);
    if (lastVoicedAt !== null) this.#mark("user_stopped", Math.min(this.receivedAt, this.device.toPageClock(lastVoicedAt)));
    if (!this.isSpeaking) this.#setState("thinking");
  }

  #onSpeechStarted({ turn, output_hertz: hertz }) {
    this.speech.turn = turn;
    this.speech.hertz = hertz ?? this.session?.output_hertz ?? OUTPUT_HERTZ;
  }

  #onError(message) {
    if (this.state !== "connecting") return this.#problem(message); // session.ended follows if it is over
    clearTimeout(this.timer);
    return this.#tryLater(message, waitAsTold(message)); // the session was refused
  }

  #onPong({ t }) {
    this.rttMs = Math.round((performance.now() - t) * 10) / 10;
    this.#metrics();
  }

  #onSpeech(frame) {
    const { speech } = this;
    Object.assign(speech, { frames: speech.frames + 1, samples: speech.samples + frame.pcm.length });
    if (frame.turn !== speech.lastTurn) {
      speech.lastTurn = frame.turn;
      this.#mark("speech_arrived", performance.now(), frame.turn);
    }
    this.device.play(frame.turn, speech.hertz, frame.pcm);
  }

  // What the worklets say

  #onChunk({ frame, offset, rms, blocks }) {
    for (const [level, from, to] of blocks) this.activity.push(level, from, to);
    this.#emit("level", { who: "user", rms, at: performance.now() });
    if (!this.isLive || this.isEnding || !this.link.deliverAudio(frame, offset)) return;
    this.sent.chunks += 1;
    this.sent.samples += (frame.byteLength - HEADER_BYTES) / 2;
  }

  #onPlayer(event) {
    switch (event.type) {
      case "stats":
        return this.#onPlayerStats(event);
      case "started":
        return this.#onHeard(event);
      case "drained":
        return this.#onSilent(event, "drained");
      case "flushed":
        return this.#onFlushed(event);
      case "underrun":
        return this.#mark("gap", this.device.toPageClock(event.clock), event.turn);
      default:
        return this.#problem({ code: "speech_overflow" });
    }
  }

  #onPlayerStats({ type: _, rms, clock, ...figures }) {
    this.player = figures;
    this.#emit("level", { who: "assistant", rms, at: this.device.toPageClock(clock) });
    if (figures.state === "PLAY") this.#report(this.reports.progress(figures.turn, figures.turn_played_ms, performance.now()));
    this.#metrics();
  }

  #onHeard({ turn, clock }) {
    this.speech.turn = turn;
    this.#setState("speaking");
    this.#mark("heard", this.device.toPageClock(clock), turn, this.latency.replyAudible(clock));
  }

  #onFlushed(event) {
    const ms = event.was_playing ? this.latency.silenced(event.clock) : null;
    this.#onSilent(event, event.was_playing ? "silent" : null, ms);
  }

  #onSilent({ turn, heard_ms: heardMs, clock }, mark, ms = null) {
    this.#report(this.reports.end(turn, heardMs, performance.now()));
    if (mark) this.#mark(mark, this.device.toPageClock(clock), turn, ms);
    if (turn >= this.speech.turn) this.speech.turn = 0;
    if (this.state === "speaking") this.#setState(this.activity.isSpeaking && mark === "silent" ? "hearing" : "listening");
  }

  #report(report) {
    if (report !== null && this.isLive && !this.isEnding) this.link.send(report);
  }

  // Own state

  #openDevice() {
    if (this.device) {
      this.device.context.resume();
      return;
    }
    this.stopWatching = watchNetwork(() => (this.state === "retrying" ? this.retry() : this.link.suspect()));
    this.device = new AudioDevice(
      { inputHertz: INPUT_HERTZ, chunkSamples: CHUNK_SAMPLES, base: this.base },
      {
        chunk: (chunk) => this.#onChunk(chunk),
        player: (event) => this.#onPlayer(event),
        problem: (code) => this.#problem({ code }),
      },
    );
  }

  #resetSession() {
    this.session = null;
    this.sent = { chunks: 0, samples: 0 };
    this.speech = { ...this.speech, samples: 0, frames: 0, turn: 0, lastTurn: 0 };
    this.reports = new PlaybackReports();
  }

  #finish(state) {
    clearTimeout(this.timer);
    this.device?.stopChunks();
    this.device?.closeMicrophone();
    this.speech.turn = 0;
    this.linkStatus.back(true);
    this.#setState(state);
  }

  #flushAll() {
    this.device?.flush(this.speech.lastTurn);
    this.speech.turn = 0;
  }

  #setState(state) {
    if (state === this.state) return;
    this.state = state;
    this.#emit("state", { state });
    this.#metrics();
  }

  #mark(name, at, turn = null, ms = null) {
    this.#emit("mark", { name, at, turn, ms });
  }

  #problem(detail) {
    this.#emit("problem", detail);
  }

  #metrics() {
    this.#emit("metrics", this.diagnostics());
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
