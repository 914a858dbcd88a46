// The field on a canvas: what is told 25 times a second, drawn 60 times, a moment in the past, between two states.

export const COLOURS = ["#e5484d", "#3e7bfa", "#2f9e44", "#f08c00", "#8e4ec6", "#0c9aab", "#d6409f", "#8a6d3b", "#5b6ee1", "#6a9a1f", "#c2410c", "#64748b"];
export const DASHES = 1;
export const SAFE = 2;
export const AWAY = 4;
const READY = 8;
const WIDTH = 16_000;
const HEIGHT = 10_000;
const RADIUS = 320;
const PAST = 100; // ms: so far behind the newest state we draw, so that there is one to go to
const KEPT = 30; // states
const SMALLEST = 0.052; // pixels for a unit: on a small window the view follows the own beetle
const EDGE = 150; // units that are seen past the walls
const UNDER = 2_000; // under the field, where the button that dashes would hide a beetle
const MOST_BITS = 160;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const coarse = matchMedia("(pointer: coarse)");

const mix = (a, b, share) => a + (b - a) * share;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Field {
  me = null; // the own place
  names = new Map(); // of places
  stick = null; // the finger: where it came down, and where it is, in pixels
  #canvas;
  #pen;
  #ink = {};
  #states = [];
  #from = null; // which process tells
  #offset = Infinity; // our clock less theirs, where a state came fastest
  #looks = new Map(); // by place: heading, trail, score
  #bits = [];
  #shake = 0;
  #view = { x: WIDTH / 2, y: HEIGHT / 2 };
  #frame = 0;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
    new ResizeObserver(() => this.#resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#colours());
    document.addEventListener("visibilitychange", () => this.#next());
    this.#colours();
  }

  /** The newest state; what is older than one that we have comes too late. */
  told(state) {
    const now = performance.now();
    if (state.by !== this.#from) [this.#from, this.#states, this.#offset] = [state.by, [], Infinity];
    if (state.t <= this.#states.at(-1)?.t) return;
    this.#offset = Math.min(this.#offset + 0.2, now - state.t); // clocks drift
    if (now - state.t - this.#offset > 1_000) this.#offset = now - state.t; // it stood still for a while
    state.beetles = new Map(state.beetles.map(([place, x, y, vx, vy, score, flags]) => [place, { x, y, vx, vy, score, flags }]));
    this.#notice(this.#states.at(-1), state);
    this.#states.push(state);
    if (this.#states.length > KEPT) this.#states.shift();
    this.#next();
  }

  get #mine() {
    return this.#states.at(-1)?.beetles.get(this.me);
  }

  #notice(before, state) {
    if (!before || before.round !== state.round || calm.matches || document.hidden) return;
    const left = new Set(state.sparks.map(([number]) => number));
    for (const [number, x, y, worth] of before.sparks) if (!left.has(number)) this.#burst(x, y, this.#ink.spark, 4 + worth);
    for (const [place, beetle] of state.beetles) {
      const was = before.beetles.get(place);
      if (!was || !(beetle.flags & SAFE) || was.flags & SAFE || beetle.score >= was.score) continue;
      this.#burst(beetle.x, beetle.y, COLOURS[place], 18);
      if (place === this.me) this.#shake = 1;
    }
  }

  #burst(x, y, colour, count) {
    for (let n = 0; n < count && this.#bits.length < MOST_BITS; n++) {
      const angle = Math.random() * 2 * Math.PI;
      const speed = 600 + Math.random() * 2_600;
      this.#bits.push({ x, y, vx: Math.cos(angle) * speed, vy: Math.sin(angle) * speed, life: 1, colour });
    }
  }

  #colours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["field", "dots", "rim", "spark", "great", "ink", "soft", "halo", "core", "accent"]) {
      this.#ink[name] = style.getPropertyValue(`--${name}`).trim();
    }
    this.#next();
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.#canvas.height = Math.round(clientHeight * devicePixelRatio);
    this.#next();
  }

  #next() {
    if (!document.hidden) this.#frame ||= requestAnimationFrame((at) => this.#draw(at));
  }

  /** What lies between two states at the time that we draw, and where its beetles are. */
  #between(now) {
    const at = now - this.#offset - PAST;
    const after = this.#states.findIndex(({ t }) => t > at);
    const next = this.#states.at(after);
    const last = after > 0 ? this.#states[after - 1] : next;
    const share = next === last ? 1 : (at - last.t) / (next.t - last.t);
    const beetles = [...next.beetles].map(([place, one]) => {
      const was = last.beetles.get(place) ?? one;
      return { ...one, place, x: mix(was.x, one.x, share), y: mix(was.y, one.y, share) };
    });
    return { beetles, sparks: next.sparks };
  }

  #last = 0;

  #draw(now) {
    this.#frame = 0;
    const seconds = Math.min(0.05, (now - this.#last) / 1000);
    this.#last = now;
    const pen = this.#pen;
    const { width, height } = this.#canvas;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (!this.#states.length || !width) return;
    const { beetles, sparks } = this.#between(now);
    this.#look(beetles, seconds);
    this.#ground(pen, width / devicePixelRatio, height / devicePixelRatio);
    for (const spark of sparks) this.#spark(pen, spark, now);
    for (const beetle of beetles) this.#trail(pen, beetle);
    const best = Math.max(1, ...beetles.map(({ score }) => score));
    for (const beetle of beetles) this.#beetle(pen, beetle, beetle.score === best, now);
    this.#scatter(pen, seconds);
    this.#finger(pen);
    if (now - this.#offset - this.#states.at(-1).t < 2_000) this.#next(); // else nothing moves any more
  }

  #look(beetles, seconds) {
    const here = new Set(beetles.map(({ place }) => place));
    for (const place of this.#looks.keys()) if (!here.has(place)) this.#looks.delete(place);
    for (const { place, x, y, vx, vy, flags } of beetles) {
      let look = this.#looks.get(place);
      if (!look) this.#looks.set(place, (look = { heading: -Math.PI / 2, trail: [] }));
      if (Math.hypot(vx, vy) > 200) {
        const turn = Math.atan2(vy, vx) - look.heading;
        look.heading += Math.atan2(Math.sin(turn), Math.cos(turn)) * Math.min(1, seconds * 14);
      }
      if (calm.matches) continue;
      look.trail.push({ x, y, hot: flags & DASHES });
      if (look.trail.length > 22) look.trail.shift();
    }
  }

  #ground(pen, width, height) {
    const whole = Math.min(width / WIDTH, height / HEIGHT) * 0.985;
    const mine = this.#mine;
    const scale = mine ? Math.max(whole, SMALLEST) : whole;
    const seen = { x: width / scale, y: height / scale };
    const drawn = mine && this.#looks.get(this.me)?.trail.at(-1);
    const { x, y } = drawn ?? mine ?? this.#view;
    const place = (at, most, part, after) => (part >= most ? most / 2 : clamp(at, part / 2 - EDGE, most - part / 2 + after));
    this.#view = { x: place(x, WIDTH, seen.x, EDGE), y: place(y, HEIGHT, seen.y, coarse.matches ? UNDER : EDGE) };
    this.#shake = Math.max(0, this.#shake - 0.06);
    const jolt = this.#shake * 130;
    const factor = scale * devicePixelRatio;
    pen.setTransform(factor, 0, 0, factor, (width / 2) * devicePixelRatio - (this.#view.x + (Math.random() - 0.5) * jolt) * factor, (height / 2) * devicePixelRatio - (this.#view.y + (Math.random() - 0.5) * jolt) * factor);
    pen.beginPath();
    pen.roundRect(0, 0, WIDTH, HEIGHT, 380);
    pen.fillStyle = this.#ink.field;
    pen.fill();
    this.#meadow(pen);
    pen.strokeStyle = this.#ink.rim;
    pen.lineWidth = 50;
    pen.beginPath();
    pen.roundRect(0, 0, WIDTH, HEIGHT, 380);
    pen.stroke();
  }

  /** Stones and blades of grass, the same on every page: what glides past them is seen to glide. */
  #meadow(pen) {
    pen.fillStyle = pen.strokeStyle = this.#ink.dots;
    pen.lineWidth = 45;
    pen.lineCap = "round";
    for (let n = 1; n < 64; n++) {
      const x = 300 + ((n * 0.7549) % 1) * (WIDTH - 600); // spread evenly, and not in rows
      const y = 300 + ((n * 0.5698) % 1) * (HEIGHT - 600);
      pen.beginPath();
      if (n % 4 === 0) {
        pen.ellipse(x, y, 200 + (n % 7) * 45, 140 + (n % 7) * 30, n, 0, 2 * Math.PI);
        pen.fill();
        continue;
      }
      for (const lean of [-110, 0, 120]) {
        pen.moveTo(x + lean * 0.3, y);
        pen.quadraticCurveTo(x + lean * 0.4, y - 110, x + lean, y - 190 + Math.abs(lean));
      }
      pen.stroke();
    }
  }

  #spark(pen, [number, x, y, worth], now) {
    const size = (worth > 1 ? 190 : 115) * (calm.matches ? 1 : 1 + 0.12 * Math.sin(now / 260 + number));
    const colour = worth > 1 ? this.#ink.great : this.#ink.spark;
    const glow = pen.createRadialGradient(x, y, 0, x, y, size * 2.6);
    glow.addColorStop(0, `${colour}66`);
    glow.addColorStop(1, `${colour}00`);
    pen.fillStyle = glow;
    pen.fillRect(x - size * 2.6, y - size * 2.6, size * 5.2, size * 5.2);
    const turn = calm.matches ? 0 : now / 1_400 + number;
    for (const [radius, tone] of [[size, colour], [size * 0.55, this.#ink.core]]) {
      pen.fillStyle = tone;
      pen.beginPath();
      for (let corner = 0; corner < 8; corner++) {
        const far = corner % 2 ? radius * 0.46 : radius;
        const angle = (corner * Math.PI) / 4 + turn;
        pen.lineTo(x + Math.cos(angle) * far, y + Math.sin(angle) * far);
      }
      pen.fill();
    }
  }

  #trail(pen, { place, flags }) {
    const { trail } = this.#looks.get(place);
    if (flags & AWAY) return;
    pen.lineCap = "butt"; // round ends would overlap, and show
    pen.strokeStyle = COLOURS[place];
    for (let n = 1; n < trail.length; n++) {
      const [from, to] = [trail[n - 1], trail[n]];
      pen.globalAlpha = (n / trail.length) * (to.hot ? 0.55 : 0.16);
      pen.lineWidth = (n / trail.length) * RADIUS * (to.hot ? 1.5 : 0.9);
      pen.beginPath();
      pen.moveTo(from.x, from.y);
      pen.lineTo(to.x, to.y);
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  #beetle(pen, { place, x, y, flags }, leads, now) {
    const { heading } = this.#looks.get(place);
    const colour = COLOURS[place];
    pen.save();
    pen.translate(x, y);
    if (flags & AWAY) pen.globalAlpha = 0.35;
    else if (flags & SAFE && !calm.matches) pen.globalAlpha = 0.55 + 0.35 * Math.sin(now / 60);
    if (place === this.me) this.#ring(pen, flags);
    pen.save();
    pen.rotate(heading + Math.PI / 2);
    this.#body(pen, colour, flags & DASHES);
    pen.restore();
    if (leads) this.#crown(pen);
    pen.font = `600 ${place === this.me ? 300 : 270}px ${getComputedStyle(document.body).fontFamily}`;
    pen.textAlign = "center";
    pen.lineWidth = 90;
    pen.lineJoin = "round";
    pen.strokeStyle = this.#ink.halo;
    pen.fillStyle = place === this.me ? this.#ink.ink : this.#ink.soft;
    const name = this.names.get(place)?.name ?? "";
    const half = pen.measureText(name).width / 2;
    const aside = clamp(x, half, WIDTH - half) - x; // a name near a wall stays in the field
    pen.strokeText(name, aside, RADIUS + 380);
    pen.fillText(name, aside, RADIUS + 380);
    pen.restore();
  }

  #ring(pen, flags) {
    pen.lineWidth = 45;
    pen.strokeStyle = flags & READY ? this.#ink.accent : this.#ink.rim;
    pen.beginPath();
    pen.arc(0, 0, RADIUS + 130, 0, 2 * Math.PI);
    pen.stroke();
  }

  #body(pen, colour, dashes) {
    const r = RADIUS;
    pen.strokeStyle = this.#ink.ink;
    pen.lineWidth = 40;
    pen.beginPath(); // legs and feelers
    for (const side of [-1, 1]) {
      for (const leg of [-0.35, 0.1, 0.5]) {
        pen.moveTo(side * r * 0.5, leg * r);
        pen.lineTo(side * r * 1.12, (leg + (dashes ? 0.5 : 0.14)) * r);
      }
      pen.moveTo(side * r * 0.2, -r * 0.9);
      pen.quadraticCurveTo(side * r * 0.3, -r * 1.25, side * r * 0.6, -r * 1.3);
    }
    pen.stroke();
    pen.fillStyle = this.#ink.ink;
    pen.beginPath();
    pen.ellipse(0, -r * 0.72, r * 0.48, r * 0.38, 0, 0, 2 * Math.PI);
    pen.fill();
    const shine = pen.createRadialGradient(-r * 0.3, -r * 0.3, r * 0.08, 0, 0, r * 1.1);
    shine.addColorStop(0, "#ffffff");
    shine.addColorStop(0.28, colour);
    shine.addColorStop(1, colour);
    pen.fillStyle = shine;
    const open = dashes ? 0.3 : 0; // the wings
    for (const side of [-1, 1]) {
      pen.save();
      pen.rotate(side * -open);
      pen.beginPath();
      pen.ellipse(0, r * 0.12, r * 0.8, r * 0.88, 0, side > 0 ? -Math.PI / 2 : Math.PI / 2, side > 0 ? Math.PI / 2 : (3 * Math.PI) / 2);
      pen.fill();
      pen.restore();
    }
    pen.lineWidth = 26;
    pen.strokeStyle = "#00000055";
    pen.beginPath();
    pen.moveTo(0, -r * 0.72);
    pen.lineTo(0, r * 0.98);
    pen.stroke();
  }

  #crown(pen) {
    pen.fillStyle = this.#ink.spark;
    pen.beginPath();
    for (const [x, y] of [[-190, 0], [-210, -190], [-100, -90], [0, -240], [100, -90], [210, -190], [190, 0]]) pen.lineTo(x, y - RADIUS - 170);
    pen.fill();
  }

  #scatter(pen, seconds) {
    for (const bit of this.#bits) {
      bit.x += bit.vx * seconds;
      bit.y += bit.vy * seconds;
      bit.life -= seconds * 1.9;
      pen.globalAlpha = Math.max(0, bit.life);
      pen.fillStyle = bit.colour;
      pen.fillRect(bit.x - 45, bit.y - 45, 90, 90);
    }
    pen.globalAlpha = 1;
    this.#bits = this.#bits.filter(({ life }) => life > 0);
  }

  /** Where the finger steers. */
  #finger(pen) {
    if (!this.stick) return;
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    const { x, y, dx, dy } = this.stick;
    pen.strokeStyle = pen.fillStyle = this.#ink.accent;
    pen.lineWidth = 2;
    pen.globalAlpha = 0.5;
    pen.beginPath();
    pen.arc(x, y, 46, 0, 2 * Math.PI);
    pen.stroke();
    pen.beginPath();
    pen.arc(x + dx, y + dy, 18, 0, 2 * Math.PI);
    pen.fill();
    pen.globalAlpha = 1;
  }
}
