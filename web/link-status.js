/**
 * What is to be said about the way to the assistant, beside the state of the conversation. Pure.
 *
 * Status
 *   up            as it should be
 *   reconnecting  the connection was lost, and the session waits for the next one; the microphone is kept, and what has arrived is played
 *   stalled       the server looks for the model
 */
export class LinkStatus {
  /** @param {(change: {status: string, until: number | null}) => void} tell called with each change; until when the session waits */
  constructor(tell = () => {}) {
    this.tell = tell;
    this.status = "up";
    this.reset();
  }

  /** A session begins or ends. */
  reset() {
    this.isStalled = false;
    /** Milliseconds of audio that the server had to drop, by direction. */
    this.dropped = { up: 0, down: 0 };
    this.#set("up");
  }

  /** Take a message of the server; only some matter. */
  take({ type, direction, ms }) {
    if (type === "session.stalled") this.isStalled = true;
    else if (type === "session.continued") this.isStalled = false;
    else if (type === "audio.dropped") this.dropped[direction] += ms;
    else return;
    if (this.status !== "reconnecting") this.back();
  }

  /** The connection was lost. */
  away(until) {
    this.#set("reconnecting", until);
  }

  /** The session has its connection; another server that took it has a model as well. */
  back(isAdopted = false) {
    if (isAdopted) this.isStalled = false;
    this.#set(this.isStalled ? "stalled" : "up");
  }

  #set(status, until = null) {
    if (status === this.status) return;
    this.status = status;
    this.tell({ status, until });
  }
}
