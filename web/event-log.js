/** The log of control messages: filter, copy, download. Nothing is drawn while its tab is hidden. */

import { element } from "./elements.js";

const KEPT = 5000;
const DRAWN = 400;
const PERIODIC = new Set(["ping", "pong", "ack", "playback", "usage"]);

export class EventLog {
  constructor({ rows, empty, count, filter, periodic, panel }) {
    Object.assign(this, { rows, empty, count, filter, periodic, panel });
    this.entries = [];
    this.total = 0;
    this.zero = null;
    filter.addEventListener("input", () => this.renderAll());
    periodic.addEventListener("change", () => this.renderAll());
  }

  /** Take one control message. */
  add({ direction, at, message }) {
    this.zero ??= at;
    const entry = { t_ms: Math.round(at - this.zero), direction, message };
    this.entries.push(entry);
    if (this.entries.length > KEPT) this.entries.shift();
    this.total += 1;
    this.count.textContent = String(this.total);
    if (!this.panel.hidden && this.#matches(entry)) this.#append(entry);
  }

  /** Forget everything. */
  clear() {
    this.entries = [];
    this.total = 0;
    this.count.textContent = "";
    this.renderAll();
  }

  /** Draw what the filter lets through. */
  renderAll() {
    if (this.panel.hidden) return;
    this.rows.replaceChildren();
    for (const entry of this.entries.filter((one) => this.#matches(one)).slice(-DRAWN)) this.#append(entry);
    this.empty.hidden = this.rows.childElementCount > 0;
  }

  /** One JSON object per line: {t_ms, direction, message}. */
  toNdjson() {
    return this.entries.map((entry) => `${JSON.stringify(entry)}\n`).join("");
  }

  #matches({ message }) {
    if (!this.periodic.checked && PERIODIC.has(message.type)) return false;
    const wanted = this.filter.value.trim().toLowerCase();
    return wanted === "" || JSON.stringify(message).toLowerCase().includes(wanted);
  }

  #append({ t_ms: ms, direction, message }) {
    const isAtEnd = this.rows.scrollTop + this.rows.clientHeight >= this.rows.scrollHeight - 40;
    const { type, ...rest } = message;
    const summary = element(
      "summary",
      {},
      element("time", { text: (ms / 1000).toFixed(3) }),
      element("span", { class: `arrow ${direction}`, text: direction === "out" ? "↑" : "↓" }),
      element("code", { text: type }),
      element("span", { class: "brief", text: Object.keys(rest).length > 0 ? JSON.stringify(rest) : "" }),
    );
    this.rows.append(element("li", {}, element("details", {}, summary, element("pre", { text: JSON.stringify(message, null, 2) }))));
    while (this.rows.childElementCount > DRAWN) this.rows.firstElementChild.remove();
    this.empty.hidden = true;
    if (isAtEnd) this.rows.scrollTop = this.rows.scrollHeight;
  }
}
