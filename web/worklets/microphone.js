/**
 * The microphone: mixes down, resamples to the model's rate and cuts into chunks.
 *
 * In:  {type: "start"} (a new session: offsets begin at 0), {type: "stop"}, {type: "mute", muted}
 * Out: {type: "chunk", frame: ArrayBuffer (transferred; room for a frame's header, then Int16), offset, rms, blocks: [[rms, fromMs, toMs], ...]}
 *
 * While a session runs, samples never stop: a muted or missing microphone gives silence, because the model needs silence in the stream to
 * find the end of a turn (Amazon Nova user guide, "send silence").
 */

import { HEADER_BYTES } from "../frames.js";
import { Resampler } from "../resampler.js";

class Microphone extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.resampler = new Resampler(sampleRate, processorOptions.hertz);
    this.chunkSamples = processorOptions.chunkSamples;
    this.mix = new Float32Array(128);
    this.state = "stopped";
    this.muted = false;
    this.port.onmessage = ({ data }) => this.#onMessage(data);
    this.#begin();
  }

  #onMessage(message) {
    if (message.type === "start") {
      this.#begin();
      this.state = "running";
    } else if (message.type === "stop") {
      this.state = "stopped";
    } else if (message.type === "mute") {
      this.muted = message.muted;
    }
  }

  #begin() {
    this.resampler.reset();
    this.offset = 0;
    this.#newChunk();
  }

  #newChunk() {
    this.chunk = new Int16Array(new ArrayBuffer(HEADER_BYTES + 2 * this.chunkSamples), HEADER_BYTES);
    this.filled = 0;
    this.energy = 0;
    this.blocks = [];
  }

  process(inputs) {
    if (this.state !== "running") return true;
    const channels = this.muted ? [] : inputs[0];
    const length = channels[0]?.length ?? 128;
    if (this.mix.length !== length) this.mix = new Float32Array(length);
    this.mix.fill(0);
    for (const channel of channels) for (let i = 0; i < length; i++) this.mix[i] += channel[i] / channels.length;
    this.#measure();
    this.#append(this.resampler.process(this.mix));
    return true;
  }

  #measure() {
    let energy = 0;
    for (let i = 0; i < this.mix.length; i++) energy += this.mix[i] * this.mix[i];
    const from = (1000 * currentFrame) / sampleRate;
    this.blocks.push([Math.sqrt(energy / this.mix.length), from, from + (1000 * this.mix.length) / sampleRate]);
  }

  #append(samples) {
    for (let i = 0; i < samples.length; i++) {
      const value = Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768)));
      this.chunk[this.filled++] = value;
      this.energy += value * value;
      if (this.filled === this.chunkSamples) this.#send();
    }
  }

  #send() {
    const rms = Math.sqrt(this.energy / this.chunkSamples) / 32768;
    const frame = this.chunk.buffer;
    this.port.postMessage({ type: "chunk", frame, offset: this.offset, rms, blocks: this.blocks }, [frame]);
    this.offset += this.chunkSamples;
    this.#newChunk();
  }
}

registerProcessor("nova-microphone", Microphone);
