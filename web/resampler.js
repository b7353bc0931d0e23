/**
 * Change the rate of a mono stream by a ratio of whole numbers, without clicks between the pieces and without aliasing.
 *
 * Polyphase FIR: a windowed sinc (Kaiser) is cut into one short filter per output phase. The filter is centred, so that sample 0 comes
 * out as sample 0: the stream is not shifted, it only waits for the few input samples that the second half of the filter needs.
 * No DOM and no worklet globals: the worklets and Node import the same file.
 */

/** Half the filter's length in periods of the lower rate: 32 gives a transition of 9 % of that rate and 2 ms of delay at 16 kHz. */
const HALF_WIDTH = 32;

/** Kaiser's beta for 90 dB of attenuation: 0.1102 (A - 8.7), Oppenheim and Schafer, Discrete-Time Signal Processing, 7.6. */
const KAISER_BETA = 8.96;

/** Middle of the transition, as a share of the lower rate's Nyquist frequency: what folds back stays above 7.2 kHz at 16 kHz. */
const CUTOFF = 0.94;

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** Modified Bessel function of the first kind, order 0, by its power series. */
function besselI0(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > sum * 1e-12; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/**
 * Compute one filter per output phase.
 *
 * @param {number} up output samples per period
 * @param {number} down input samples per period
 * @returns {{half: number, phases: Float32Array[]}} each filter has 2 * half taps; tap j weighs input sample floor(position) - half + 1 + j
 */
function designFilters(up, down) {
  const lower = Math.min(1, up / down);
  const half = Math.ceil(HALF_WIDTH / lower);
  const cutoff = CUTOFF * lower;
  const normal = besselI0(KAISER_BETA);
  const phases = [];
  for (let phase = 0; phase < up; phase++) {
    const taps = new Float32Array(2 * half);
    let sum = 0;
    for (let j = 0; j < taps.length; j++) {
      const distance = j - half + 1 - phase / up;
      const edge = 1 - (distance / half) ** 2;
      taps[j] = edge <= 0 ? 0 : cutoff * sinc(cutoff * distance) * (besselI0(KAISER_BETA * Math.sqrt(edge)) / normal);
      sum += taps[j];
    }
    for (let j = 0; j < taps.length; j++) taps[j] /= sum; // each phase passes a constant unchanged
    phases.push(taps);
  }
  return { half, phases };
}

const designs = new Map();

/** A stream of samples at one rate becomes a stream at another. */
export class Resampler {
  /**
   * @param {number} inputHertz whole number
   * @param {number} outputHertz whole number
   */
  constructor(inputHertz, outputHertz) {
    const divisor = greatestCommonDivisor(Math.round(inputHertz), Math.round(outputHertz));
    this.up = Math.round(outputHertz) / divisor;
    this.down = Math.round(inputHertz) / divisor;
    if (!this.isExact) {
      const key = `${this.up}/${this.down}`;
      if (!designs.has(key)) designs.set(key, designFilters(this.up, this.down));
      ({ half: this.half, phases: this.phases } = designs.get(key));
    }
    this.reset();
  }

  /** Whether input and output are the same samples. */
  get isExact() {
    return this.up === this.down;
  }

  /** Output samples that `inputCount` input samples are worth. */
  outputLength(inputCount) {
    return Math.ceil((inputCount * this.up) / this.down);
  }

  /** Forget the stream; the next sample is the first of a new one. */
  reset() {
    this.received = 0;
    this.emitted = 0;
    if (this.isExact) return;
    this.history ??= new Float32Array(4 * this.half + 1024); // kept: the audio thread should not allocate
    this.history.fill(0);
    this.filled = this.half - 1; // zeros stand before the first sample
    this.base = -(this.half - 1); // input index of history[0]
    this.phase = 0;
    this.position = 0; // input index that the next output sample lies on or after
  }

  /**
   * Take input samples and return the output samples that they complete.
   *
   * @param {Float32Array} input
   * @returns {Float32Array} a view that is valid until the next call; the input itself when the rates are equal
   */
  process(input) {
    this.received += input.length;
    if (this.isExact) {
      this.emitted += input.length;
      return input;
    }
    this.#append(input);
    return this.#convolve(Infinity);
  }

  /** Return the rest of the stream: afterwards outputLength(received) samples came out in all. */
  flush() {
    if (this.isExact) return new Float32Array(0);
    this.#append(new Float32Array(this.half + 1));
    return this.#convolve(this.outputLength(this.received) - this.emitted);
  }

  #append(input) {
    const used = Math.max(0, this.position - this.half + 1 - this.base);
    this.history.copyWithin(0, used, this.filled);
    this.filled -= used;
    this.base += used;
    if (this.filled + input.length > this.history.length) {
      const grown = new Float32Array(2 * (this.filled + input.length));
      grown.set(this.history.subarray(0, this.filled));
      this.history = grown;
    }
    this.history.set(input, this.filled);
    this.filled += input.length;
  }

  #convolve(limit) {
    const end = this.base + this.filled - 1 - this.half; // the last position whose filter is covered
    const room = Math.max(0, Math.min(limit, Math.ceil(((end - this.position + 1) * this.up) / this.down) + 1));
    if (!this.scratch || this.scratch.length < room) this.scratch = new Float32Array(room);
    const { history, phases, scratch, up, down } = this;
    const length = 2 * this.half;
    let count = 0;
    while (this.position <= end && count < limit) {
      const taps = phases[this.phase];
      const start = this.position - this.half + 1 - this.base;
      let sum = 0;
      for (let j = 0; j < length; j++) sum += taps[j] * history[start + j];
      scratch[count++] = sum;
      this.phase += down;
      this.position += Math.floor(this.phase / up);
      this.phase %= up;
    }
    this.emitted += count;
    return scratch.subarray(0, count);
  }
}
