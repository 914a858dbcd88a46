// Where a player wants to go: keys, a finger that drags, a second one or a button that dashes.

const KEYS = { ArrowLeft: [-1, 0], KeyA: [-1, 0], ArrowRight: [1, 0], KeyD: [1, 0], ArrowUp: [0, -1], KeyW: [0, -1], ArrowDown: [0, 1], KeyS: [0, 1] };
const EVERY = 50; // ms between two messages, at least
const STILL = 400; // ms after which the same is said again: another process may have taken over
const REACH = 46; // pixels from where the finger came down to full thrust
const DEAD = 6; // pixels in which it means nothing

export class Steering {
  active = false; // whether we play
  #held = new Set();
  #stick = null;
  #field;
  #say = () => {};
  #told = "0 0";
  #at = 0;
  #timer = 0;

  /** @param {HTMLElement} surface @param {HTMLElement} button @param {import("./field.js").Field} field */
  constructor(surface, button, field) {
    this.#field = field;
    addEventListener("keydown", (event) => this.#key(event));
    addEventListener("keyup", ({ code }) => this.#held.delete(code) && this.#changed());
    addEventListener("blur", () => this.#let());
    document.addEventListener("visibilitychange", () => document.hidden && this.#let());
    surface.addEventListener("pointerdown", (event) => this.#down(event, surface));
    surface.addEventListener("pointermove", (event) => this.#move(event));
    for (const over of ["pointerup", "pointercancel", "lostpointercapture"]) surface.addEventListener(over, (event) => this.#up(event));
    button.addEventListener("pointerdown", (event) => (event.preventDefault(), this.#dash()));
    button.addEventListener("click", ({ detail }) => detail === 0 && this.#dash()); // by keyboard
  }

  /** @param {(what: string, data?: object) => void} say */
  start(say) {
    this.#say = say;
    setInterval(() => this.#told !== "0 0" && performance.now() - this.#at > STILL && this.#send(), STILL);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, button, a")) return;
    if (event.code in KEYS) this.#held.add(event.code);
    else if (event.code !== "Space") return;
    else if (!event.repeat) this.#dash();
    event.preventDefault();
    this.#changed();
  }

  #down(event, surface) {
    surface.focus({ preventScroll: true });
    if (this.#stick) return this.#dash();
    if (event.button) return;
    surface.setPointerCapture(event.pointerId);
    this.#stick = { id: event.pointerId, x: event.offsetX, y: event.offsetY, dx: 0, dy: 0 };
    this.#field.stick = this.#stick;
  }

  #move({ pointerId, offsetX, offsetY }) {
    const stick = this.#stick;
    if (stick?.id !== pointerId) return;
    const [dx, dy] = [offsetX - stick.x, offsetY - stick.y];
    const far = Math.max(1, Math.hypot(dx, dy) / REACH);
    [stick.dx, stick.dy] = [dx / far, dy / far];
    this.#changed();
  }

  #up({ pointerId }) {
    if (this.#stick?.id !== pointerId) return;
    this.#stick = this.#field.stick = null;
    this.#changed();
  }

  #let() {
    this.#held.clear();
    this.#stick = this.#field.stick = null;
    this.#changed();
  }

  #dash() {
    if (!this.active) return;
    this.#send(); // where to, before that
    this.#say("dash");
  }

  #wanted() {
    if (this.#stick && Math.hypot(this.#stick.dx, this.#stick.dy) > DEAD) return [this.#stick.dx, this.#stick.dy].map((part) => Math.round((part / REACH) * 100));
    const keys = [...this.#held].map((code) => KEYS[code]);
    return [0, 1].map((axis) => 100 * Math.sign(keys.reduce((sum, key) => sum + key[axis], 0)));
  }

  #changed() {
    if (this.#wanted().join(" ") === this.#told) return;
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#send();
    }, Math.max(0, this.#at + EVERY - performance.now()));
  }

  #send() {
    const [x, y] = this.#wanted();
    if (!this.active) return;
    this.#told = `${x} ${y}`;
    this.#at = performance.now();
    this.#say("steer", { x, y });
  }
}
