/**
 * What lets a conversation outlive its connection: both sides number what must not be lost, and say how far they have got.
 * docs/reference/binary-dialect.md describes it.
 *
 * Pure: no clock, no socket; time is an argument in milliseconds.
 */

/** How far `number` lies beyond `next`; right across the wrap at 2^32 of the numbers in binary frames. */
function distance(number, next) {
  return (number - next) | 0;
}

/** Numbers what goes to the server, and keeps it until the server has it: bounded in time and in bytes, the oldest goes first. */
export class Outbox {
  /** @param {{keepMs: number, keepBytes: number}} limits keepMs 0 keeps nothing: the server knows no resuming */
  constructor({ keepMs = 0, keepBytes = 0 } = {}) {
    this.keepMs = keepMs;
    this.keepBytes = keepBytes;
    this.next = 0;
    this.bytes = 0;
    /** Frames given up before the server had them. */
    this.dropped = 0;
    this.kept = []; // {number, data, bytes, at}, in order of number
  }

  /** Whether frames are kept at all. */
  get isKeeping() {
    return this.keepMs > 0;
  }

  /** The number for the next frame; it must be encoded with it and given to `keep`. */
  take() {
    return this.next++;
  }

  /**
   * Keep an encoded frame; it is not copied.
   *
   * @param {number} number what `take` gave
   * @param {string | ArrayBuffer} data
   * @param {number} now
   */
  keep(number, data, now) {
    if (!this.isKeeping) return;
    const bytes = typeof data === "string" ? 2 * data.length : data.byteLength;
    this.kept.push({ number, data, bytes, at: now });
    this.bytes += bytes;
    while (this.kept.length > 0 && (this.bytes > this.keepBytes || now - this.kept[0].at > this.keepMs)) {
      this.#forget(1);
      this.dropped += 1;
    }
  }

  /** The server has everything below this number. */
  acknowledge(number) {
    const index = this.kept.findIndex((one) => distance(one.number, number) >= 0);
    this.#forget(index < 0 ? this.kept.length : index);
  }

  /** Forget what is below this number, and return what has to be sent again, in order. */
  from(number) {
    this.acknowledge(number);
    return this.kept.map(({ data }) => data);
  }

  /** Keep nothing any more; the numbers go on. */
  stop() {
    this.keepMs = 0;
    this.#forget(this.kept.length);
  }

  #forget(count) {
    for (const { bytes } of this.kept.splice(0, count)) this.bytes -= bytes;
  }
}

/** Takes what comes from the server exactly once, and knows what to ask for after the connection was lost. */
export class Inbox {
  constructor() {
    /** Number of the frame that is wanted next; null until the first. */
    this.next = null;
    /** Frames that came again and were not taken. */
    this.repeated = 0;
    /** Frames that never came. */
    this.missing = 0;
  }

  /**
   * Whether a frame with this number is new. A number beyond the next one is taken: what lies between was dropped on its way and is counted.
   *
   * @param {number} number
   */
  take(number) {
    const ahead = this.next === null ? 0 : distance(number, this.next);
    if (ahead < 0) {
      this.repeated += 1;
      return false;
    }
    this.missing += ahead;
    this.next = (this.next ?? number) + ahead + 1;
    return true;
  }

  /**
   * Count a frame of a server that numbers the speech of a connection alone: nothing comes twice there.
   *
   * @param {number} number
   */
  count(number) {
    if (this.next !== null && number !== this.next) this.missing += 1;
    this.next = (number + 1) >>> 0;
  }
}
