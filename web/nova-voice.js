/**
 * A client of the voice server: protocol, microphone and loudspeaker, without any page around it.
 *
 *   const voice = new NovaVoice({ url: "wss://example.org/" });
 *   voice.addEventListener("message", ({ detail }) => console.log(detail.direction, detail.message));
 *   button.onclick = () => voice.start({ language: "es" });      // inside a user gesture
 *
 * Events (CustomEvent, all with `detail`):
 *   state    {state}                                  see STATES
 *   message  {direction: "in" | "out", at, message}   every control message
 *   mark     {name, at, turn, ms?}                    moments measured by the page: user_started, user_stopped, typed, speech_arrived,
 *                                                     heard, silent, drained, gap
 *   level    {who: "user" | "assistant", rms, at}     about thirty times a second
 *   metrics  {...}                                    diagnostics()
 *   problem  {code, message?, retryable?, ref?}       what went wrong; the server's errors and the page's own
 * Times (`at`) are milliseconds of `performance.now()`.
 */

import { AudioDevice } from "./audio-device.js";
import { Connection, readCloseCode, retryDelay } from "./connection.js";
import { decodeFrame, encodeFrame, MICROPHONE, SPEECH } from "./frames.js";
import { LatencyMeter } from "./latency.js";
import { VoiceActivity } from "./voice-activity.js";

/**
 * ready: no session. connecting: socket or model is being opened. listening, hearing (the user speaks), thinking, speaking: a session runs.
 * retrying: the connection was lost and will be tried again. ended: the session is over, another can begin.
 */
export const STATES = ["ready", "connecting", "listening", "hearing", "thinking", "speaking", "retrying", "ended"];

const LIVE = new Set(["listening", "hearing", "thinking", "speaking"]);
const INPUT_HERTZ = 16_000;
const OUTPUT_HERTZ = 24_000;
const CHUNK_SAMPLES = 512; // 32 ms
const PLAYBACK_REPORT_MS = 250;
const START_TIMEOUT_MS = 20_000;
const END_TIMEOUT_MS = 3_000;
const RECENT_VOICE_MS = 1_500;
const RETRIES = 8;

/** One conversation partner. May be started and ended many times. */
export class NovaVoice extends EventTarget {
  /** @param {{url: string | URL, base?: string | URL}} options `url` of the WebSocket; `base` of this module's folder */
  constructor({ url, base = new URL(".", import.meta.url) }) {
    super();
    this.url = url;
    this.base = base;
    this.state = "ready";
    this.session = null;
    this.connection = new Connection({
      text: (data) => this.#onText(data),
      frame: (data) => this.#onSpeech(data),
      close: (event) => this.#onClose(event),
      ping: () => this.#ping(),
    });
    this.device = null;
    this.choice = null; // what the running session was started with
    this.isEnding = false;
    this.attempt = 0;
    this.activity = new VoiceActivity();
    this.latency = new LatencyMeter();
    this.sent = { chunks: 0, samples: 0 };
    this.player = {};
    this.speech = { samples: 0, frames: 0, missing: 0, nextSeq: null, turn: 0, lastTurn: 0, hertz: OUTPUT_HERTZ };
    this.rttMs = null;
    this.lastReport = 0;
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
    this.#cancelRetry();
    this.#openDevice();
    this.#setState("connecting");
    if (microphone) {
      try {
        await this.device.openMicrophone();
      } catch (error) {
        this.#setState("ready");
        this.#problem({ code: error.code ?? "microphone_busy" });
        return false;
      }
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
    this.#send({ type: "text", text });
    this.#setState("thinking");
  }

  /** Ask the assistant to be quiet; the loudspeaker is silent at once, without waiting for the server. */
  interrupt() {
    if (!this.isLive) return;
    if (this.isSpeaking) {
      this.latency.interruptionBegan(this.device.clock);
      this.device.flush(this.speech.turn);
    }
    this.#send({ type: "interrupt" });
  }

  /** Mute or unmute; a muted microphone sends silence. */
  mute(muted) {
    this.device?.mute(muted);
    this.#metrics();
  }

  /** End the session; the connection stays for the next one. */
  end() {
    this.#cancelRetry();
    if (this.state === "ready" || this.state === "ended") return;
    this.isEnding = true;
    this.#flushAll();
    if (this.isLive) {
      this.device.stopChunks();
      this.#send({ type: "end" });
      this.timer = setTimeout(() => this.connection.close(), END_TIMEOUT_MS);
    } else {
      this.connection.close();
      this.#finish("ended");
    }
  }

  /** Let the connection and the sound hardware go. */
  async close() {
    this.#cancelRetry();
    this.isEnding = true;
    this.connection.close();
    await this.device?.close();
    this.device = null;
  }

  /** Try again now, after the connection was lost. */
  retry() {
    this.#cancelRetry();
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
      microphone: { open: this.hasMicrophone, muted: this.isMuted, ...this.sent, buffered_bytes: this.connection.bufferedBytes },
      speech: { samples: this.speech.samples, frames: this.speech.frames, missing: this.speech.missing },
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
      await this.connection.open(this.url);
    } catch {
      if (!this.isEnding) this.#lost({ code: 1006 });
      return;
    }
    if (this.isEnding) {
      this.connection.close(); // the user ended it while it was being opened
      return;
    }
    this.#resetSession();
    this.#send({ type: "hello", protocol: 1, ...this.choice, input_hertz: INPUT_HERTZ, output_hertz: OUTPUT_HERTZ });
    this.timer = setTimeout(() => this.state === "connecting" && this.connection.close(4000, "no session"), START_TIMEOUT_MS);
  }

  #onClose(event) {
    clearTimeout(this.timer);
    this.rttMs = null;
    if (!this.isLive && this.state !== "connecting") return;
    if (this.isEnding) this.#finish("ended");
    else this.#lost(event);
  }

  #lost({ code }) {
    this.device?.stopChunks();
    this.#flushAll();
    const meaning = readCloseCode(code);
    const problem = meaning.problem ?? (this.session ? "connection_lost" : "server_unreachable");
    if (meaning.isFinal || this.attempt >= RETRIES) {
      this.#finish("ended");
      this.#problem({ code: problem, retryable: true });
      return;
    }
    const delay = retryDelay(this.attempt++);
    this.#setState("retrying");
    this.#problem({ code: problem, retryable: true, retry_ms: delay });
    this.retryTimer = setTimeout(() => this.#connect(), delay);
  }

  #cancelRetry() {
    clearTimeout(this.retryTimer);
  }

  #ping() {
    this.#send({ type: "ping", t: Math.round(performance.now() * 1000) / 1000 });
  }

  #send(message) {
    if (!this.connection.isOpen) return;
    this.connection.send(JSON.stringify(message));
    this.#emit("message", { direction: "out", at: performance.now(), message });
  }

  // What the server says

  #onText(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      this.#problem({ code: "bad_frame" });
      return;
    }
    this.receivedAt = performance.now();
    this.#emit("message", { direction: "in", at: this.receivedAt, message });
    this.#onMessage(message);
  }

  #onMessage(message) {
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
        return this.#finish("ended");
      case "pong":
        return this.#onPong(message);
      default:
        return undefined; // transcripts, tools and usage are the listeners' business; unknown types are for later versions
    }
  }

  #onStarted(message) {
    clearTimeout(this.timer);
    this.attempt = 0;
    this.session = message;
    this.speech.hertz = message.output_hertz;
    this.device.clear();
    this.device.startChunks();
    this.#ping();
    this.#setState("listening");
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
    if (this.state === "connecting") this.#finish("ended"); // the session was refused; otherwise session.ended follows if it is over
    this.#problem(message);
  }

  #onPong({ t }) {
    this.rttMs = Math.round((performance.now() - t) * 10) / 10;
    this.#metrics();
  }

  #onSpeech(data) {
    const frame = decodeFrame(data);
    if (frame === null || frame.kind !== SPEECH) return;
    const { speech } = this;
    if (speech.nextSeq !== null && frame.seq !== speech.nextSeq) speech.missing += 1;
    speech.nextSeq = (frame.seq + 1) >>> 0;
    speech.frames += 1;
    speech.samples += frame.pcm.byteLength / 2;
    if (frame.turn !== speech.lastTurn) {
      speech.lastTurn = frame.turn;
      this.#mark("speech_arrived", performance.now(), frame.turn);
    }
    this.device.play(frame.turn, speech.hertz, frame.pcm);
  }

  // What the worklets say

  #onChunk({ pcm, offset, rms, blocks }) {
    for (const [level, from, to] of blocks) this.activity.push(level, from, to);
    this.#emit("level", { who: "user", rms, at: performance.now() });
    if (!this.isLive || !this.connection.isOpen) return;
    const header = { kind: MICROPHONE, seq: this.sent.chunks, sampleOffset: offset, timeMs: performance.now() };
    this.connection.send(encodeFrame(header, pcm));
    this.sent.chunks += 1;
    this.sent.samples += pcm.byteLength / 2;
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
    const now = performance.now();
    if (figures.state === "PLAY" && now - this.lastReport >= PLAYBACK_REPORT_MS) this.#reportPlayback(figures.turn, figures.turn_played_ms);
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
    this.#reportPlayback(turn, heardMs);
    if (mark) this.#mark(mark, this.device.toPageClock(clock), turn, ms);
    if (turn >= this.speech.turn) this.speech.turn = 0;
    if (this.state === "speaking") this.#setState(this.activity.isSpeaking && mark === "silent" ? "hearing" : "listening");
  }

  #reportPlayback(turn, heardMs) {
    this.lastReport = performance.now();
    if (this.isLive && !this.isEnding && turn > 0) this.#send({ type: "playback", turn, heard_ms: heardMs });
  }

  // Own state

  #openDevice() {
    if (this.device) {
      this.device.context.resume();
      return;
    }
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
    this.speech = { ...this.speech, samples: 0, frames: 0, missing: 0, nextSeq: null, turn: 0, lastTurn: 0 };
  }

  #finish(state) {
    clearTimeout(this.timer);
    this.device?.stopChunks();
    this.device?.closeMicrophone();
    this.speech.turn = 0;
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
