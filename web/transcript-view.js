/** Draw the transcript. Only final text is announced to screen readers, once. */

import { clockText, element, toolBody, toolSummary } from "./elements.js";
import { turnText } from "./transcript-model.js";

const ANNOUNCED = 5;
const SHORT_RESULT = 200; // characters: two lines

export class TranscriptView {
  /**
   * @param {{scroller: HTMLElement, list: HTMLElement, announcer: HTMLElement, jump: HTMLElement}} nodes
   * @param {(key: string, values?: object) => string} t
   */
  constructor({ scroller, list, announcer, jump }, t) {
    Object.assign(this, { scroller, list, announcer, jump, t });
    this.nodes = new Map();
    this.announced = new Map();
    this.zero = null;
    this.assistant = "";
    this.isFollowing = true;
    scroller.addEventListener("scroll", () => this.#onScroll());
    jump.addEventListener("click", () => this.follow());
  }

  /** Draw an entry that is new or has changed. */
  render(entry) {
    this.zero ??= entry.at;
    const drawn = this.#draw(entry);
    const old = this.nodes.get(entry.key);
    if (old) old.replaceWith(drawn);
    else this.list.append(drawn);
    this.nodes.set(entry.key, drawn);
    if (entry.kind === "turn") this.#announce(entry);
    if (this.isFollowing) this.scroller.scrollTop = this.scroller.scrollHeight;
    else this.jump.hidden = false;
  }

  /** Go to the newest entry and stay there. */
  follow() {
    this.isFollowing = true;
    this.jump.hidden = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** Draw everything again, in another language. */
  renderAll(entries) {
    for (const entry of entries) {
      const drawn = this.#draw(entry);
      this.nodes.get(entry.key)?.replaceWith(drawn);
      this.nodes.set(entry.key, drawn);
    }
  }

  #draw(entry) {
    if (entry.kind === "note") return this.#drawNote(entry);
    return entry.kind === "tool" ? this.#drawTool(entry) : this.#drawTurn(entry);
  }

  #drawNote({ language, voice }) {
    return element("li", { class: "note", text: this.t("note.started", { language, voice }) });
  }

  #drawTool(entry) {
    const brief = element("span", { class: "brief", text: [entry.input, entry.output].filter(Boolean).join(" → ") });
    const summary = element("summary", {}, ...toolSummary(entry, this.t), brief);
    const details = element("details", { class: "tool" }, summary, toolBody(entry, this.t));
    details.open = this.#isToolOpen(entry);
    details.dataset.finished = String(entry.output !== null);
    return element("li", { class: "entry" }, details);
  }

  /** Open while it runs and when its result is short; afterwards as the user left it. */
  #isToolOpen({ key, output }) {
    const old = this.nodes.get(key)?.querySelector("details");
    if (old?.dataset.finished === "true") return old.open;
    return (output ?? "").length <= SHORT_RESULT;
  }

  #drawTurn(entry) {
    const { final, speculative } = turnText(entry);
    const text = element("p", {}, final);
    if (speculative) text.append(final ? " " : "", element("em", { class: "speculative", text: speculative }));
    if (entry.interruptedMs !== null) {
      const seconds = (entry.interruptedMs / 1000).toFixed(1);
      text.append(" ", element("span", { class: "interruption", text: `— ${this.t("interrupted", { seconds })}` }));
    }
    const head = element(
      "div",
      { class: "who" },
      element("span", { class: "name", text: entry.role === "user" ? this.t("you") : this.assistant || this.t("assistant") }),
      element("time", { text: clockText(entry.at - this.zero) }),
    );
    if (entry.typed) head.append(element("span", { class: "how", text: this.t("typed") }));
    return element("li", { class: `entry ${entry.role}` }, head, text);
  }

  #announce(entry) {
    const done = this.announced.get(entry.key) ?? (entry.typed ? 1 : 0); // what the user typed needs no reading out
    const fresh = entry.finals.slice(done);
    this.announced.set(entry.key, entry.finals.length);
    if (fresh.length === 0) return;
    const name = entry.role === "user" ? this.t("you") : this.assistant || this.t("assistant");
    this.announcer.append(element("p", { text: `${name}: ${fresh.join(" ")}` }));
    while (this.announcer.childElementCount > ANNOUNCED) this.announcer.firstElementChild.remove();
  }

  #onScroll() {
    const { scrollTop, clientHeight, scrollHeight } = this.scroller;
    this.isFollowing = scrollTop + clientHeight >= scrollHeight - 40;
    if (this.isFollowing) this.jump.hidden = true;
  }
}
