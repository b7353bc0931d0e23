/**
 * Tell speech from background by its energy. For figures on the page only (when did the user stop?): the model decides about turns.
 *
 * Pure: fed with blocks of samples and the time at which each ends.
 */

/** A block is voiced when it is this many times louder than the background: 12 dB. */
const OVER_BACKGROUND = 4;

/** Nothing below this is speech: -50 dBFS. */
const FLOOR = 0.00316;

/** So many voiced blocks in a row begin an utterance; single clicks do not. */
const ONSET_BLOCKS = 4;

/** After so much quiet the utterance is over. */
const HANGOVER_MS = 300;

/** How fast the background estimate rises in a second of louder sound, and falls at once when it is quieter. */
const RISE_PER_BLOCK = 1.004;

/** Follows one microphone. */
export class VoiceActivity {
  constructor() {
    this.background = FLOOR / OVER_BACKGROUND;
    this.run = 0;
    this.runStart = 0;
    this.isSpeaking = false;
    /** Milliseconds at which the current or last utterance began, and its last voiced block ended; null before the first. */
    this.startedAt = null;
    this.lastVoicedAt = null;
  }

  /**
   * Take one block.
   *
   * @param {number} rms root mean square of the block, full scale 1
   * @param {number} from when the block began, milliseconds
   * @param {number} to when it ended
   * @returns {"started" | "stopped" | null}
   */
  push(rms, from, to) {
    const isVoiced = rms > Math.max(FLOOR, OVER_BACKGROUND * this.background);
    this.background = Math.min(rms > this.background ? this.background * RISE_PER_BLOCK : Math.max(rms, FLOOR / 100), 0.05);
    if (isVoiced) return this.#voiced(from, to);
    this.run = 0;
    if (this.isSpeaking && to - this.lastVoicedAt >= HANGOVER_MS) {
      this.isSpeaking = false;
      return "stopped";
    }
    return null;
  }

  #voiced(from, to) {
    if (this.run === 0) this.runStart = from;
    this.run += 1;
    if (this.isSpeaking) {
      this.lastVoicedAt = to;
      return null;
    }
    if (this.run < ONSET_BLOCKS) return null;
    this.isSpeaking = true;
    this.startedAt = this.runStart;
    this.lastVoicedAt = to;
    return "started";
  }
}
