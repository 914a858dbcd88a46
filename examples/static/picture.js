// A picture of strokes on two canvases: what is finished, and above it what is still being made.

export const WIDTH = 16_000; // of the canvas, whatever the size of a window
export const HEIGHT = 10_000;
export const PAPER = "#fdfdfc";
export const COLOURS = [
  ["Ink", "#17211d"],
  ["Grey", "#7b8882"],
  ["Red", "#c8382c"],
  ["Orange", "#e08a1e"],
  ["Green", "#0a8a63"],
  ["Blue", "#1f6fd1"],
  ["Violet", "#7a4fc0"],
  ["Rose", "#d95a93"],
];
const FADES_AFTER = 10_000; // ms without news, after which a stroke that nobody finished is forgotten

export class Picture {
  #finished = new Map(); // in the order in which they were finished, by whom and number
  #moving = new Map();
  #canvases;
  #stale = false; // the finished ones must be painted anew
  #drawing = 0;

  /** @param {HTMLCanvasElement} finished @param {HTMLCanvasElement} moving */
  constructor(finished, moving) {
    this.#canvases = { finished, moving };
    new ResizeObserver(() => this.#resize()).observe(finished.parentElement);
  }

  /** How many strokes it has. */
  get size() {
    return this.#finished.size;
  }

  /** What is new of a stroke that is being made. */
  move({ by, id, points, ...look }) {
    const key = `${by} ${id}`;
    if (this.#finished.has(key)) return;
    const known = this.#moving.get(key);
    this.#moving.set(key, { ...look, points: [...(known?.points ?? []), ...points], at: performance.now() });
    this.#paint();
  }

  finish({ by, id, ...stroke }) {
    const key = `${by} ${id}`;
    this.#moving.delete(key);
    if (this.#finished.has(key)) return;
    this.#finished.set(key, stroke);
    if (!this.#stale) draw(this.#canvases.finished, stroke);
    this.#paint();
  }

  undo({ by, id }) {
    this.#moving.delete(`${by} ${id}`);
    if (this.#finished.delete(`${by} ${id}`)) this.#repaint();
  }

  clear() {
    this.#finished.clear();
    this.#moving.clear();
    this.#repaint();
  }

  /** @returns {Promise<Blob>} a PNG, 1600 by 1000 */
  async png() {
    const canvas = new OffscreenCanvas(1600, 1000);
    const context = canvas.getContext("2d");
    for (const stroke of this.#finished.values()) draw(canvas, stroke);
    context.globalCompositeOperation = "destination-over"; // paper beneath, so that an eraser leaves paper
    context.fillStyle = PAPER;
    context.fillRect(0, 0, canvas.width, canvas.height);
    return canvas.convertToBlob({ type: "image/png" });
  }

  /** As large as the paper's place allows. */
  #resize() {
    const { clientWidth, clientHeight, style } = this.#canvases.finished.parentElement;
    const wide = Math.floor(Math.min(clientWidth, (clientHeight * WIDTH) / HEIGHT));
    style.setProperty("--wide", `${wide}px`);
    for (const canvas of Object.values(this.#canvases)) {
      canvas.width = Math.round(wide * devicePixelRatio);
      canvas.height = Math.round((canvas.width * HEIGHT) / WIDTH);
    }
    this.#repaint();
  }

  #repaint() {
    this.#stale = true;
    this.#paint();
  }

  #paint() {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      const { finished, moving } = this.#canvases;
      if (this.#stale) {
        wipe(finished);
        for (const stroke of this.#finished.values()) draw(finished, stroke);
        this.#stale = false;
      }
      wipe(moving);
      for (const [key, stroke] of this.#moving) {
        if (performance.now() - stroke.at > FADES_AFTER) this.#moving.delete(key);
        else draw(moving, stroke.tool === "eraser" ? { ...stroke, tool: "paper" } : stroke);
      }
    });
  }
}

function wipe(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

function draw(canvas, { tool, colour, width, points }) {
  const context = canvas.getContext("2d");
  const scale = canvas.width / WIDTH;
  context.save();
  context.lineCap = context.lineJoin = "round";
  context.lineWidth = Math.max(1, width * scale);
  context.strokeStyle = tool === "paper" ? PAPER : COLOURS[colour][1];
  if (tool === "eraser") context.globalCompositeOperation = "destination-out";
  if (tool === "marker") context.globalAlpha = 0.35;
  context.beginPath();
  context.moveTo(points[0] * scale, points[1] * scale);
  for (let at = 2; at < points.length - 2; at += 2) {
    const [x, y, toX, toY] = points.slice(at, at + 4).map((value) => value * scale);
    context.quadraticCurveTo(x, y, (x + toX) / 2, (y + toY) / 2); // through the middles: no corners
  }
  context.lineTo(points.at(-2) * scale, points.at(-1) * scale);
  context.stroke();
  context.restore();
}
