/** The quiet line above the controls: says what is the matter with the way to the assistant, while something is. */

/** A shorter interruption is over before anybody could read of it. */
const PATIENCE_MS = 250;
const SECOND_MS = 1000;

export class StatusLine {
  /**
   * @param {{line: HTMLElement, text: HTMLElement, seconds: HTMLElement}} nodes `line` is shown and hidden; `text` is a live region that is
   *   always there, or screen readers would not read it; `seconds` is not read out, or they would do nothing else
   * @param {(key: string, values?: object) => string} t
   */
  constructor({ line, text, seconds }, t) {
    Object.assign(this, { line, text, seconds, t });
    this.link = { status: "up", until: null };
  }

  /** Take what the voice client says of its link. */
  show(link) {
    clearTimeout(this.timer);
    this.link = link;
    if (link.status === "up") this.render();
    else this.timer = setTimeout(() => this.render(), PATIENCE_MS);
  }

  /** Draw it, and again while seconds are counted. */
  render() {
    clearTimeout(this.timer);
    const { status, until } = this.link;
    this.line.dataset.status = status;
    const words = status === "up" ? "" : this.t(`link.${status}`);
    if (this.text.textContent !== words) this.text.textContent = words;
    const left = until === null ? null : Math.max(0, until - performance.now());
    this.seconds.textContent = left === null ? "" : `${Math.ceil(left / SECOND_MS)} s`;
    if (left > 0) this.timer = setTimeout(() => this.render(), left % SECOND_MS || SECOND_MS);
  }
}
