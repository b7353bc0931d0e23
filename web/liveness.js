/**
 * Decide when to ask the other side for a sign of life, and when to take the connection for dead.
 *
 * A network that goes away without a word leaves a socket open that never speaks again, for minutes; TCP alone notices nothing.
 * Pure: time is an argument in milliseconds.
 */

export const TICK_MS = 500;
const PING_MS = 3_000;

/** Silence after a ping that means the end. Mobile networks hold packets back for a second or two when they change cells. */
const PATIENCE_MS = 5_000;

/** The same after the browser said that its network changed. */
const SUSPICIOUS_MS = 1_500;

/** Other things may come while nothing of ours arrives: so long without an answer to a ping is the end too. */
const ANSWER_MS = 15_000;

/** The page did not run for so long (a closed laptop, a frozen tab): what came meanwhile is about to be delivered. */
const FROZEN_MS = 2_000;

export class Liveness {
  /** @param {number} now when the connection was opened */
  constructor(now) {
    this.tickedAt = now;
    this.pingedAt = -Infinity;
    this.waitingSince = null; // of the ping that nothing has followed
    this.unansweredSince = null; // of the ping that was not answered
    this.patience = PATIENCE_MS;
  }

  /**
   * Something arrived.
   *
   * @param {boolean} isAnswer whether it shows that what we send arrives: a pong or an acknowledgement
   */
  heard(isAnswer) {
    this.waitingSince = null;
    this.patience = PATIENCE_MS;
    if (isAnswer) this.unansweredSince = null;
  }

  /** The network may have changed: ask now, and wait less. */
  suspect() {
    this.pingedAt = -Infinity;
    this.waitingSince = null;
    this.patience = SUSPICIOUS_MS;
  }

  /**
   * Look at the time; call it every TICK_MS.
   *
   * @returns {"ping" | "dead" | null}
   */
  tick(now) {
    if (now - this.tickedAt > FROZEN_MS) this.#forgive(now);
    this.tickedAt = now;
    if (this.#isOver(this.waitingSince, this.patience, now) || this.#isOver(this.unansweredSince, ANSWER_MS, now)) return "dead";
    if (now - this.pingedAt < PING_MS) return null;
    this.pingedAt = now;
    this.waitingSince ??= now;
    this.unansweredSince ??= now;
    return "ping";
  }

  #isOver(since, limit, now) {
    return since !== null && now - since >= limit;
  }

  #forgive(now) {
    if (this.waitingSince !== null) this.waitingSince = now;
    if (this.unansweredSince !== null) this.unansweredSince = now;
  }
}
