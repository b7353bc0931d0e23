/** The WebSocket: opens in bounded time, notices when the network is gone, and says whether trying again makes sense. */

import { Liveness, TICK_MS } from "./liveness.js";

export const SUBPROTOCOL = "nova-sonic.v1";

/** Close code of a connection that ended without one. */
export const LOST = 1006;

/** Close code of a connection that we give up: others of ours would end the session. */
const COMING_BACK = 4000;

const OPEN_TIMEOUT_MS = 10_000;
const RETRY_BASE_MS = 500;
const RETRY_CAP_MS = 20_000;
const TOLD_CAP_MS = 60_000;

/** Close codes after which trying again would fail in the same way. */
const FINAL_CLOSE_CODES = new Set([1002, 1003, 1007, 1008, 1009, 4401, 4403, 4409]);

const CLOSE_PROBLEMS = {
  1008: "refused",
  1012: "server_leaving",
  1013: "server_busy",
  4401: "not_authenticated",
  4403: "forbidden",
  4408: "idle",
  4409: "taken_over",
};

/**
 * How long to wait before the next attempt: exponential with full jitter, so that a restarted server is not met by everybody at once.
 *
 * @param {number} attempt from 0
 * @param {() => number} random
 * @param {number} capMs
 * @returns {number} milliseconds
 */
export function retryDelay(attempt, random = Math.random, capMs = RETRY_CAP_MS) {
  return Math.round(random() * Math.min(capMs, RETRY_BASE_MS * 2 ** attempt)) + 100;
}

/**
 * How long to wait when the server refuses for now and says for how long: that, and up to half of it more, so that those who are refused
 * together do not come back together.
 *
 * @param {{retryable?: boolean, retry_after?: number | null}} error of the server; seconds
 * @param {() => number} random
 * @returns {number | null} milliseconds; null when it is not to be tried again by itself
 */
export function waitAsTold({ retryable, retry_after: seconds }, random = Math.random) {
  if (!retryable || !(seconds > 0)) return null;
  const told = Math.min(TOLD_CAP_MS, 1000 * seconds);
  return Math.round(told + (random() * told) / 2);
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
   * @param {{text: (data: string) => boolean, frame: (data: ArrayBuffer) => void, close: (event: {code: number}) => void, ping: () => void}} listeners
   *   `text` returns whether the message shows that the server gets what we send
   */
  constructor(listeners) {
    this.listeners = listeners;
    this.signIn = null; // a SignIn: says who the user is
    this.socket = null;
    this.opening = null;
    this.attempts = 0; // tells an attempt that was given up from the present one
    this.liveness = null;
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
  async open(url, timeoutMs = OPEN_TIMEOUT_MS) {
    if (this.isOpen) return;
    this.attempts += 1;
    const attempt = this.attempts;
    const greeting = (await this.signIn?.first()) ?? null;
    if (attempt !== this.attempts) throw new Error("given up");
    const socket = await this.#connect(url, timeoutMs);
    this.socket = socket;
    if (greeting !== null) socket.send(greeting);
  }

  /**
   * Say anew who the user is.
   *
   * @returns {Promise<boolean>} false when there is nothing new to say
   */
  async renew() {
    const { socket } = this;
    const message = (await this.signIn?.again()) ?? null;
    if (message === null || this.socket !== socket) return false;
    this.send(message);
    return true;
  }

  /** Send text or bytes; nothing happens when the connection is gone. */
  send(data) {
    if (this.isOpen) this.socket.send(data);
  }

  /** Close; the close listener is told. */
  close(code = 1000, reason = "") {
    this.socket?.close(code, reason);
  }

  /** Let the connection go in order to come back on another, without waiting for the other side; the close listener is not told. */
  drop() {
    const { socket } = this;
    this.attempts += 1;
    this.socket = null;
    this.liveness = null;
    clearInterval(this.timer);
    if (socket) socket.onmessage = null;
    socket?.close(COMING_BACK);
    this.opening?.close();
  }

  /** The network may have changed: find out soon whether the connection lives. */
  suspect() {
    this.liveness?.suspect();
    this.#tick();
  }

  #connect(url, timeoutMs) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, SUBPROTOCOL);
      socket.binaryType = "arraybuffer";
      this.opening = socket;
      const timer = setTimeout(() => {
        reject(new Error("the connection could not be opened in time"));
        socket.close();
      }, timeoutMs);
      socket.onopen = () => {
        clearTimeout(timer);
        this.opening = null;
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
    const { text, frame, close } = this.listeners;
    clearInterval(this.timer);
    this.timer = setInterval(() => this.#tick(), TICK_MS);
    this.liveness = new Liveness(performance.now());
    socket.onmessage = ({ data }) => {
      const isAnswer = typeof data === "string" ? text(data) : frame(data);
      this.liveness?.heard(isAnswer === true);
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      clearInterval(this.timer);
      this.socket = null;
      this.liveness = null;
      close(event);
    };
  }

  #tick() {
    const verdict = this.liveness?.tick(performance.now());
    if (verdict === "ping") this.listeners.ping();
    if (verdict !== "dead") return;
    this.drop();
    this.listeners.close({ code: LOST });
  }
}
