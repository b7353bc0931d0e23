/**
 * The speaker: plays what PlayerCore decides, and measures what it played.
 *
 * In:  {type: "speech", turn, hertz, pcm: Int16Array (its buffer transferred)}, {type: "end", turn}, {type: "flush", turn}, {type: "clear"}
 * Out: PlayerCore's reports, with `clock` in milliseconds of the context's clock; {type: "stats", ...} about thirty times a second.
 */

import { PlayerCore } from "../player-core.js";

const REPORTS_PER_SECOND = 30;

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.core = new PlayerCore(sampleRate, (event) => this.port.postMessage(event));
    this.expectedFrame = null;
    this.clockGaps = 0;
    this.energy = 0;
    this.counted = 0;
    this.port.onmessage = ({ data }) => this.#onMessage(data);
  }

  #onMessage(message) {
    const clock = (1000 * currentFrame) / sampleRate;
    if (message.type === "speech") this.core.push(message.turn, message.pcm, message.hertz, clock);
    else if (message.type === "end") this.core.end(message.turn);
    else if (message.type === "flush") this.core.flush(message.turn, clock);
    else if (message.type === "clear") this.core = new PlayerCore(sampleRate, (event) => this.port.postMessage(event));
  }

  process(_inputs, outputs) {
    const [first, ...others] = outputs[0];
    if (this.expectedFrame !== null && this.expectedFrame !== currentFrame) this.clockGaps += 1;
    this.expectedFrame = currentFrame + first.length;
    this.core.pull(first, (1000 * currentFrame) / sampleRate);
    for (const channel of others) channel.set(first);
    this.#measure(first);
    return true;
  }

  #measure(block) {
    for (let i = 0; i < block.length; i++) this.energy += block[i] * block[i];
    this.counted += block.length;
    if (this.counted * REPORTS_PER_SECOND < sampleRate) return;
    const rms = Math.sqrt(this.energy / this.counted);
    this.energy = 0;
    this.counted = 0;
    this.port.postMessage({ type: "stats", rms, clock: (1000 * currentFrame) / sampleRate, clock_gaps: this.clockGaps, ...this.core.snapshot() });
  }
}

registerProcessor("nova-player", Player);
