/**
 * Microphone and loudspeaker through one AudioContext at the device's own rate.
 *
 * One context, because a second rate on the same device makes Firefox refuse the microphone and makes Chromium drop or insert 10 ms now and
 * then; all resampling is ours (worklets).
 */

const MICROPHONE_CONSTRAINTS = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/** How long a context may take to start before the user is told that there is no sound. */
const START_SECONDS = 3;

/** Why there is no microphone; `code` is one of microphone_refused, microphone_missing, microphone_busy, microphone_insecure. */
export class MicrophoneError extends Error {
  constructor(code, cause) {
    super(code, { cause });
    this.code = code;
  }
}

const REASONS = {
  NotAllowedError: "microphone_refused",
  SecurityError: "microphone_refused",
  NotFoundError: "microphone_missing",
  OverconstrainedError: "microphone_missing",
};

async function requestMicrophone() {
  if (!globalThis.isSecureContext || !navigator.mediaDevices) throw new MicrophoneError("microphone_insecure");
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: MICROPHONE_CONSTRAINTS });
  } catch (error) {
    throw new MicrophoneError(REASONS[error.name] ?? "microphone_busy", error);
  }
}

/** The sound hardware as the page uses it. Create it inside a user gesture. */
export class AudioDevice {
  /**
   * @param {{inputHertz: number, chunkSamples: number, base: URL | string}} options `base` is where the worklets' folder is
   * @param {{chunk: Function, player: Function, problem: Function}} listeners called with worklet messages and problem codes
   */
  constructor({ inputHertz, chunkSamples, base }, listeners) {
    this.options = { inputHertz, chunkSamples, base };
    this.listeners = listeners;
    this.context = new AudioContext({ latencyHint: "interactive" });
    this.stream = null;
    this.source = null;
    this.muted = false;
    this.lags = [];
    this.prepared = this.#prepare();
  }

  /** Milliseconds of the context's clock. */
  get clock() {
    return 1000 * this.context.currentTime;
  }

  /** Convert the context's clock to the page's (`performance.now`), both in milliseconds. */
  toPageClock(clock) {
    return clock + Math.max(...this.lags);
  }

  async #prepare() {
    this.#noteLag();
    this.context.resume();
    if (!this.context.audioWorklet) {
      this.listeners.problem("insecure_origin"); // no sound at all: the conversation goes on by text
      return;
    }
    const { base, inputHertz, chunkSamples } = this.options;
    await this.context.audioWorklet.addModule(new URL("worklets/player.js", base));
    await this.context.audioWorklet.addModule(new URL("worklets/microphone.js", base));
    this.player = new AudioWorkletNode(this.context, "nova-player", { numberOfInputs: 0, outputChannelCount: [1] });
    this.microphone = new AudioWorkletNode(this.context, "nova-microphone", {
      outputChannelCount: [1],
      processorOptions: { hertz: inputHertz, chunkSamples },
    });
    this.player.port.onmessage = ({ data }) => this.#onPlayer(data);
    this.microphone.port.onmessage = ({ data }) => this.listeners.chunk(data);
    this.player.connect(this.context.destination);
    this.microphone.connect(this.context.destination); // silent; an unconnected node need not be run
    this.watchdog = setTimeout(() => this.context.state === "running" || this.listeners.problem("audio_blocked"), START_SECONDS * 1000);
  }

  /**
   * Ask for the microphone and connect it.
   *
   * @throws {MicrophoneError}
   */
  async openMicrophone() {
    if (this.stream) return;
    const stream = await requestMicrophone();
    await this.prepared;
    this.stream = stream;
    this.source = this.context.createMediaStreamSource(stream);
    this.source.connect(this.microphone);
    for (const track of stream.getAudioTracks()) track.addEventListener("ended", () => this.#onLost());
    this.mute(this.muted);
  }

  /** Let the microphone go: the browser's recording sign goes out. */
  closeMicrophone() {
    this.source?.disconnect();
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.source = null;
  }

  /** Send silence instead of the microphone, or stop doing so. */
  mute(muted) {
    this.muted = muted;
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !muted;
    this.microphone?.port.postMessage({ type: "mute", muted });
  }

  /** Begin to deliver chunks, from offset 0. */
  startChunks() {
    this.microphone?.port.postMessage({ type: "start" });
  }

  /** Deliver no more chunks. */
  stopChunks() {
    this.microphone?.port.postMessage({ type: "stop" });
  }

  /** Give one chunk of speech to the player; the samples' buffer is transferred. */
  play(turn, hertz, pcm) {
    this.player?.port.postMessage({ type: "speech", turn, hertz, pcm }, [pcm.buffer]);
  }

  /** Mark the end of a turn's speech. */
  endTurn(turn) {
    this.player?.port.postMessage({ type: "end", turn });
  }

  /** Throw away what was not played of this turn and those before it. */
  flush(turn) {
    this.player?.port.postMessage({ type: "flush", turn });
  }

  /** Forget all turns: a new session numbers them from 1 again. */
  clear() {
    this.player?.port.postMessage({ type: "clear" });
  }

  /** Let everything go. */
  async close() {
    clearTimeout(this.watchdog);
    this.closeMicrophone();
    if (this.context.state !== "closed") await this.context.close();
  }

  #onPlayer(message) {
    this.#noteLag();
    this.listeners.player(message);
  }

  #onLost() {
    this.closeMicrophone();
    this.listeners.problem("microphone_lost");
  }

  /** The context's clock runs ahead in steps of a hardware buffer; the largest difference keeps effects after their causes. */
  #noteLag() {
    this.lags.push(performance.now() - this.clock);
    if (this.lags.length > 32) this.lags.shift();
  }
}
