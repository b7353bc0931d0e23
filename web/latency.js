/**
 * Measure how long the user waits: for a reply, and for silence after speaking over the assistant.
 *
 * Pure. All times are milliseconds of one clock (the audio context's). Device delays of microphone and loudspeaker are not in the figures:
 * a page cannot measure them.
 */
export class LatencyMeter {
  constructor() {
    this.replyFrom = null;
    this.interruptionFrom = null;
    /** Every reply latency and every interruption latency of this page, in milliseconds. */
    this.replies = [];
    this.interruptions = [];
  }

  /** The server takes the user's turn as finished; `lastVoicedAt` is the page's own measure, null when it heard nothing. */
  userStopped(lastVoicedAt, now) {
    this.replyFrom = lastVoicedAt ?? now;
    this.interruptionFrom = null; // it was not taken as an interruption
  }

  /** The user typed. */
  userTyped(now, isAssistantSpeaking) {
    this.replyFrom = now;
    if (isAssistantSpeaking) this.interruptionFrom = now;
  }

  /** The user began to speak, or asked for silence, while the assistant was speaking. */
  interruptionBegan(at) {
    this.interruptionFrom ??= at;
  }

  /** The first audible sample of a reply left for the loudspeaker; returns the latency, or null when nothing was waited for. */
  replyAudible(at) {
    this.interruptionFrom = null;
    if (this.replyFrom === null) return null;
    const latency = Math.max(0, Math.round(at - this.replyFrom));
    this.replyFrom = null;
    this.replies.push(latency);
    return latency;
  }

  /** The assistant fell silent because of an interruption; returns the latency, or null when its beginning is not known. */
  silenced(at) {
    if (this.interruptionFrom === null) return null;
    const latency = Math.max(0, Math.round(at - this.interruptionFrom));
    this.interruptionFrom = null;
    this.interruptions.push(latency);
    return latency;
  }
}
