// Two small live charts, written by hand: <line-chart> draws SVG, <heat-rows> paints a canvas.
// Both are told everything at each draw() and keep nothing else, so a reconnect cannot leave them stale.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 160;

/** The next round number: 1, 2, 2.5 or 5 times a power of ten. */
const roundUp = (value) => {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
};

const isNumber = (value) => value !== null && Number.isFinite(value);

/**
 * <line-chart label="Processor" span="120">: the newest value on the right, `span` values wide.
 * draw([{ name, values }], { top, least, format }): `top` fixes the scale; otherwise it follows the values, from `least` up.
 */
class LineChart extends HTMLElement {
  #series = [];
  #format = String;
  #top = 1;

  connectedCallback() {
    this.innerHTML =
      `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img"><g></g></svg>` +
      '<span class="top" aria-hidden="true"></span><span class="tip" aria-hidden="true" hidden></span>';
    this.addEventListener("pointermove", (event) => this.#point(event));
    this.addEventListener("pointerleave", () => (this.querySelector(".tip").hidden = true));
  }

  get span() {
    return Number(this.getAttribute("span") ?? 60);
  }

  draw(series, { top, least = 1, format = String } = {}) {
    const seen = series.flatMap(({ values }) => values.slice(-this.span)).filter(isNumber);
    this.#top = top ?? roundUp(Math.max(least, ...seen));
    this.#series = series;
    this.#format = format;
    const group = document.createElementNS(SVG, "g");
    for (const y of [0.5, HEIGHT / 2]) group.append(this.#path(`M0 ${y}H${WIDTH}`, "rule"));
    series.forEach(({ values }, index) => {
      for (const run of this.#runs(values.slice(-this.span))) {
        const line = run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
        const [from, to] = [run[0][0], run.at(-1)[0]].map((x) => x.toFixed(1));
        if (index === 0) group.append(this.#path(`M${from} ${HEIGHT}L${line}L${to} ${HEIGHT}Z`, "area"));
        group.append(this.#path(`M${line}${run.length === 1 ? "h0.1" : ""}`, `line line-${index}`));
      }
    });
    this.querySelector("g").replaceWith(group);
    this.querySelector(".top").textContent = format(this.#top);
    this.querySelector("svg").setAttribute("aria-label", this.#summary(seen));
  }

  /** Unbroken stretches of points: a missing value leaves a gap, it does not draw a lie. */
  #runs(values) {
    const runs = [[]];
    values.forEach((value, index) => {
      if (!isNumber(value)) runs.push([]);
      else runs.at(-1).push([this.#x(index, values.length), HEIGHT - 2 - (Math.min(value, this.#top) / this.#top) * (HEIGHT - 4)]);
    });
    return runs.filter((run) => run.length);
  }

  #x(index, count) {
    return WIDTH - ((count - 1 - index) / (this.span - 1)) * WIDTH;
  }

  #path(d, className) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    path.setAttribute("class", className);
    return path;
  }

  #summary(seen) {
    const label = this.getAttribute("label") ?? "Chart";
    if (!seen.length) return `${label}: nothing yet`;
    const latest = this.#series
      .filter(({ values }) => isNumber(values.at(-1) ?? null))
      .map(({ name, values }) => `${name ?? "now"} ${this.#format(values.at(-1))}`)
      .join(", ");
    return `${label}: ${latest}; between ${this.#format(Math.min(...seen))} and ${this.#format(Math.max(...seen))}`;
  }

  #point({ clientX }) {
    const box = this.getBoundingClientRect();
    const back = Math.round((1 - (clientX - box.left) / box.width) * (this.span - 1));
    const words = this.#series
      .map(({ name, values }) => [name, values.at(-1 - back)])
      .filter(([, value]) => isNumber(value ?? null))
      .map(([name, value]) => (name ? `${name} ` : "") + this.#format(value));
    const tip = this.querySelector(".tip");
    tip.hidden = !words.length;
    tip.textContent = words.join(" · ");
    const share = 1 - back / (this.span - 1);
    tip.style.left = `${share * 100}%`;
    tip.style.setProperty("--shift", `${-share * 100}%`);
  }
}

/** <heat-rows label="Cores" span="120">: one row per thing, one cell per moment, stronger colour for more of it. */
class HeatRows extends HTMLElement {
  #moments = [];

  connectedCallback() {
    this.innerHTML = '<canvas role="img"></canvas>';
    this.repaint = () => this.#paint();
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.scheme.addEventListener("change", this.repaint);
    this.sizes = new ResizeObserver(this.repaint);
    this.sizes.observe(this);
  }

  disconnectedCallback() {
    this.scheme.removeEventListener("change", this.repaint);
    this.sizes.disconnect();
  }

  /** @param {number[][]} moments oldest first; each holds one share from 0 to 1 per row */
  draw(moments) {
    this.#moments = moments.slice(-Number(this.getAttribute("span") ?? 60));
    this.#paint();
    const latest = (this.#moments.at(-1) ?? []).map((share) => `${Math.round(share * 100)} %`).join(", ");
    this.firstElementChild.setAttribute("aria-label", `${this.getAttribute("label")}: ${latest}`);
  }

  #paint() {
    const canvas = this.firstElementChild;
    const rows = this.#moments.at(-1)?.length ?? 0;
    const columns = Number(this.getAttribute("span") ?? 60);
    const width = this.clientWidth;
    const pitch = Math.max(6, Math.min(52, 160 / rows));
    const sharp = devicePixelRatio;
    if (!rows || !width) return;
    canvas.style.height = `${pitch * rows}px`;
    canvas.width = width * sharp;
    canvas.height = pitch * rows * sharp;
    const paint = canvas.getContext("2d");
    paint.scale(sharp, sharp);
    paint.fillStyle = getComputedStyle(this).color;
    const step = width / columns;
    const gap = pitch > 12 ? 2 : 1;
    for (let column = 0; column < columns; column++) {
      const moment = this.#moments[this.#moments.length - columns + column];
      for (let row = 0; row < rows; row++) {
        paint.globalAlpha = 0.07 + 0.93 * Math.min(1, moment?.[row] ?? 0);
        paint.fillRect(column * step, row * pitch, Math.max(1, step - gap), pitch - gap);
      }
    }
  }
}

customElements.define("line-chart", LineChart);
customElements.define("heat-rows", HeatRows);
