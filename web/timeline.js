/** The timeline: what happened in each turn, with the milliseconds between. */

import { element } from "./elements.js";

const ROWS_KEPT = 400;

/** Server messages that are moments of a turn. */
const MOMENTS = new Set(["user.speech_ended", "tool.started", "tool.finished", "speech.ended", "interrupted"]);

/** Moments that open a turn: a rule is drawn above. */
const OPENING = new Set(["user_started", "typed"]);

const SPEAKERS = { user_started: "user", user_stopped: "user", typed: "user", heard: "assistant", speech_arrived: "assistant", drained: "assistant" };

export class Timeline {
  constructor(body, empty, t) {
    Object.assign(this, { body, empty, t });
    this.rows = [];
    this.zero = null;
  }

  /** Set the time from which rows are counted. */
  begin(at) {
    this.zero ??= at;
  }

  /** Take a message of the server; only some are moments. */
  message(message, at) {
    if (MOMENTS.has(message.type)) this.add({ name: message.type, at, tool: message.name });
  }

  /** Add a moment at its place in time: some are known only later. */
  add({ name, at, tool = "", ms = null }) {
    this.zero ??= at;
    const panel = this.body.closest("[role=tabpanel]");
    const isAtEnd = panel.scrollTop + panel.clientHeight >= panel.scrollHeight - 40;
    let index = this.rows.length;
    while (index > 0 && this.rows[index - 1].at > at) index -= 1;
    const row = { name, at, tool, ms };
    row.node = element("tr", { class: [SPEAKERS[name] ?? "", OPENING.has(name) ? "opening" : ""].join(" ").trim() });
    this.body.insertBefore(row.node, this.rows[index]?.node ?? null);
    this.rows.splice(index, 0, row);
    this.#draw(index);
    if (index + 1 < this.rows.length) this.#draw(index + 1);
    while (this.rows.length > ROWS_KEPT) this.rows.shift().node.remove();
    this.empty.hidden = true;
    if (isAtEnd) panel.scrollTop = panel.scrollHeight;
  }

  /** Draw everything again, in another language. */
  renderAll() {
    for (let index = 0; index < this.rows.length; index++) this.#draw(index);
  }

  #draw(index) {
    const { name, at, tool, ms, node } = this.rows[index];
    const isFirst = index === 0 || OPENING.has(name);
    const words = element("td", {}, this.t(`mark.${name}`, { name: tool }));
    if (ms !== null) words.append(" ", element("strong", { text: this.t(name === "silent" ? "mark.barge_in" : "mark.reply", { ms }) }));
    node.replaceChildren(
      element("td", { text: ((at - this.zero) / 1000).toFixed(3) }),
      words,
      element("td", { text: isFirst ? "" : String(Math.round(at - this.rows[index - 1].at)) }),
    );
  }
}
