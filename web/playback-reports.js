/**
 * Tell the server how much of each turn was heard: four times a second, and once when a turn is over. Its pacing and the conversation's
 * history stand on it, so the last reports are told again after the connection was lost.
 *
 * Pure: time is an argument in milliseconds.
 */

const INTERVAL_MS = 250;

/** Speech waits in the player for one turn, and at most the next. */
const TURNS_KEPT = 2;

export class PlaybackReports {
  constructor() {
    this.reportedAt = -Infinity;
    this.heard = new Map(); // milliseconds by turn, the newest last
  }

  /** The last word on the last turns, to be told again. */
  get recent() {
    return [...this.heard].map(([turn, ms]) => ({ type: "playback", turn, heard_ms: ms }));
  }

  /** The turn is being played; returns the report that is due, or null. */
  progress(turn, heardMs, now) {
    return now - this.reportedAt < INTERVAL_MS ? null : this.end(turn, heardMs, now);
  }

  /** The turn was played, or thrown away; returns the report. */
  end(turn, heardMs, now) {
    if (turn <= 0) return null;
    this.reportedAt = now;
    this.heard.delete(turn);
    this.heard.set(turn, heardMs);
    if (this.heard.size > TURNS_KEPT) this.heard.delete(this.heard.keys().next().value);
    return { type: "playback", turn, heard_ms: heardMs };
  }
}
