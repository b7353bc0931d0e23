/** The WebSocket: opens in bounded time, measures the round trip, and says whether trying again makes sense. */

export const SUBPROTOCOL = "nova-sonic.v1";

const OPEN_TIMEOUT_MS = 10_000;
const PING_MS = 3_000;
const RETRY_BASE_MS = 500;
const RETRY_CAP_MS = 20_000;

/** Close codes after which trying again would fail in the same way. */
const FINAL_CLOSE_CODES = new Set([1002, 1003, 1007, 1008, 1009, 4401, 4403]);

const CLOSE_PROBLEMS = { 1008: "refused", 1012: "server_leaving", 1013: "server_busy", 4401: "refused", 4403: "refused", 4408: "idle" };

/**
 * How long to wait before the next attempt: exponential with full jitter, so that a restarted server is not met by everybody at once.
 *
 * @param {number} attempt from 0
 * @param {() => number} random
 * @returns {number} milliseconds
 */
export function retryDelay(attempt, random = Math.random) {
  return Math.round(random() * Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** attempt)) + 100;
}

/**
 * What a close code means.
 *
 * @returns {{problem: string | null, isFinal: boolean}} the problem's code, null when the code says nothing
 */
export function readCloseCode(code) {
  return { problem: CLOSE_PROBLEMS[code] ?? null, isFinal: FINAL_CLOSE_CODES.has(code) };
}

export class Connection {
  /**
   * @param {{text: (data: string) => void, frame: (data: ArrayBuffer) => void, close: (event: CloseEvent) => void, ping: () => void}} listeners
   */
  constructor(listeners) {
    this.listeners = listeners;
    this.socket = null;
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** Bytes that the network has not taken yet. */
  get bufferedBytes() {
    return this.socket?.bufferedAmount ?? 0;
  }

  /**
   * Open, unless it is open.
   *
   * @throws {Error} the server cannot be reached, refuses, or does not answer in time
   */
  async open(url) {
    if (this.isOpen) return;
    this.socket = await this.#connect(url);
  }

  /** Send text or bytes; nothing happens when the connection is gone. */
  send(data) {
    if (this.isOpen) this.socket.send(data);
  }

  /** Close; the close listener is told. */
  close(code = 1000, reason = "") {
    this.socket?.close(code, reason);
  }

  #connect(url) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, SUBPROTOCOL);
      socket.binaryType = "arraybuffer";
      const timer = setTimeout(() => socket.close(), OPEN_TIMEOUT_MS);
      socket.onopen = () => {
        clearTimeout(timer);
        this.#serve(socket);
        resolve(socket);
      };
      socket.onclose = () => {
        clearTimeout(timer);
        reject(new Error("the connection could not be opened"));
      };
    });
  }

  #serve(socket) {
    const { text, frame, close, ping } = this.listeners;
    const timer = setInterval(ping, PING_MS);
    socket.onmessage = ({ data }) => (typeof data === "string" ? text(data) : frame(data));
    socket.onclose = (event) => {
      clearInterval(timer);
      if (this.socket !== socket) return;
      this.socket = null;
      close(event);
    };
  }
}
