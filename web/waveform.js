/** Two lanes of loudness: user above, assistant below; a red line where an interruption fell. Stands still when motion is unwanted. */

const SECONDS = 20;
const FRAME_MS = 66;
const COLUMN = 2; // CSS pixels of a bar; one more between bars

export class Waveform {
  constructor(canvas) {
    this.canvas = canvas;
    this.levels = { user: [], assistant: [] };
    this.marks = [];
    this.last = 0;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    requestAnimationFrame((now) => this.#frame(now));
  }

  /** Take a level: root mean square, full scale 1. */
  level(who, rms, at) {
    this.levels[who].push([at, rms]);
    this.#forget(this.levels[who], at);
  }

  /** Mark an interruption. */
  mark(at) {
    this.marks.push([at]);
    this.#forget(this.marks, at);
  }

  #forget(list, now) {
    while (list.length > 0 && list[0][0] < now - SECONDS * 1000 - 1000) list.shift();
  }

  #frame(now) {
    requestAnimationFrame((next) => this.#frame(next));
    if (now - this.last < FRAME_MS || this.calm.matches || this.canvas.offsetParent === null) return;
    this.last = now;
    this.#draw(now);
  }

  #draw(now) {
    const { canvas } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = devicePixelRatio;
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    const colours = getComputedStyle(canvas);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const step = (SECONDS * 1000) / Math.floor(width / (COLUMN + 1));
    ["user", "assistant"].forEach((who, lane) => {
      pen.fillStyle = colours.getPropertyValue(`--${who}`);
      this.#drawLane(pen, this.levels[who], { now, step, middle: height * (0.25 + 0.5 * lane), room: height * 0.23, width });
    });
    pen.fillStyle = colours.getPropertyValue("--danger");
    for (const [at] of this.marks) pen.fillRect(width - ((now - at) / (SECONDS * 1000)) * width, 0, 1, height);
  }

  /** Bars stand at fixed moments, so that they move and do not flicker. */
  #drawLane(pen, levels, { now, step, middle, room, width }) {
    const peaks = new Map();
    for (const [at, rms] of levels) {
      const column = Math.floor(at / step);
      peaks.set(column, Math.max(peaks.get(column) ?? 0, rms));
    }
    const newest = Math.floor(now / step);
    for (let column = newest; column > newest - SECONDS * 1000 / step; column--) {
      const half = Math.max(0.5, room * Math.min(1, Math.sqrt((peaks.get(column) ?? 0) * 2.5)));
      pen.fillRect(width - (newest - column + 1) * (COLUMN + 1), middle - half, COLUMN, 2 * half);
    }
  }
}
