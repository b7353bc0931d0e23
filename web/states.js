/**
 * What a NovaVoice is doing.
 *
 * ready: no session. connecting: socket or model is being opened. listening, hearing (the user speaks), thinking, speaking: a session runs.
 * retrying: the connection was lost, or no session could be had, and it will be tried again. ended: the session is over, another can begin.
 */
export const STATES = ["ready", "connecting", "listening", "hearing", "thinking", "speaking", "retrying", "ended"];

/** Those with a session. */
export const LIVE = new Set(["listening", "hearing", "thinking", "speaking"]);
