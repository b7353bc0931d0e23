/** Says who the user is: first of all on every connection, and again when the server says that the token has expired. Tokens are kept in memory alone. */

const READ_MS = 10_000;

export class SignIn {
  #token;
  #said = null; // the token that was said last

  /** @param {string | null | (() => string | null | Promise<string | null>)} token asked for anew each time if it is a function; without one nothing is said */
  constructor(token = null) {
    this.#token = token;
  }

  /**
   * What a new connection begins with.
   *
   * @returns {Promise<string | null>} a message, null when there is nothing to say
   */
  async first() {
    this.#said = await this.#read();
    return this.#said === null ? null : this.#message();
  }

  /**
   * What is said when the token has expired.
   *
   * @returns {Promise<string | null>} a message, null when there is no other token
   */
  async again() {
    const before = this.#said;
    const token = await this.#read();
    if (token === null || token === "" || token === before) return null;
    this.#said = token;
    return this.#message();
  }

  #message() {
    return JSON.stringify({ type: "auth", token: this.#said });
  }

  /** A function that fails or takes too long has no token: the server says what that means. */
  async #read() {
    if (typeof this.#token !== "function") return this.#token || null;
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(() => resolve(""), READ_MS);
    });
    try {
      return (await Promise.race([this.#token(), late])) ?? null;
    } catch {
      return "";
    } finally {
      clearTimeout(timer);
    }
  }
}
