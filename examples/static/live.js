// A WebSocket that comes back, and a badge that says how it is doing. No dependencies: copy it.
//
//   const live = new Live("ws");                       // relative to the page, as a link is
//   live.addEventListener("message", ({ detail }) => ...);
//   document.querySelector("live-state").watch(live);
//   live.start();
//
// State: "idle" → "connecting" → "live" → "waiting" (a countdown) → "connecting" …, "offline" while the device has
// no network, "ended" when the server said not to come back.

const FIRST_DELAY = 500; // ms; doubles with every failure …
const LONGEST_DELAY = 20_000; // … up to this. The real delay is anywhere between 0 and that: full jitter.
const CONNECT_TIMEOUT = 10_000; // ms for protocols, handshake and greeting together
const SETTLED_AFTER = 3_000; // ms of being live until the next failure counts as the first again

// 4000-4499 say "come back", 4500-4999 say "do not". Of the standard codes, these blame the network or the server.
const comesBack = (code) => (code >= 4000 ? code < 4500 : [1001, 1005, 1006, 1011, 1012, 1013].includes(code));

const REASONS = {
  1000: "the server is done",
  1003: "the server does not take this kind of message",
  1007: "the server could not read the message",
  1009: "the message was too long",
  4001: "the sign-in has expired",
  4008: "this page was too slow",
  4012: "this page was too quiet",
  4013: "too many messages at once",
  4500: "the sign-in is not valid",
  4502: "the sign-in took too long",
  4504: "too many connections",
  4507: "not allowed here",
};

export class Live extends EventTarget {
  state = "idle";
  /** Why it waits, or ended, in words. */
  reason = "";
  /** While waiting: when the next attempt is due, on the clock of performance.now(). */
  retryAt = 0;

  #url;
  #options;
  #socket = null;
  #timer = 0;
  #failures = 0;
  #liveSince = 0;
  #attempt = 0;

  /**
   * @param {string | (() => string)} url relative to the page; a function is asked before each attempt
   * @param {object} [options]
   * @param {() => Promise<string[]>} [options.protocols] asked before each attempt: a token may travel here
   * @param {boolean} [options.greeted] whether the server speaks first; only then the state is "live"
   * @param {(code: number) => boolean | void} [options.closed] told of every close; true: come back in any case
   * @param {number} [options.silence] ms without any message after which a connection counts as dead
   */
  constructor(url, options = {}) {
    super();
    this.#url = url;
    this.#options = options;
    addEventListener("online", () => this.state === "offline" && this.start());
    addEventListener("offline", () => this.#isRunning() && this.#lost("offline", "no network"));
    addEventListener("pageshow", ({ persisted }) => persisted && this.state === "idle" && this.start());
    addEventListener("pagehide", () => this.#isRunning() && this.stop());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && this.state === "waiting") this.start();
    });
  }

  /** Connect now: at first, and whenever nobody wants to wait for the countdown. */
  start() {
    if (this.state === "connecting" || this.state === "live") return;
    this.#connect();
  }

  /** Leave, and stay away until `start()`. */
  stop() {
    this.#drop(1000);
    this.#enter("idle");
  }

  /** Send text or bytes. False, and nothing is sent, unless live. */
  send(data) {
    if (this.state !== "live" || this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(data);
    return true;
  }

  async #connect() {
    this.#drop();
    const attempt = this.#attempt;
    this.#enter("connecting");
    this.#alarm(CONNECT_TIMEOUT, "no answer");
    let protocols;
    try {
      protocols = await this.#options.protocols?.();
    } catch (error) {
      if (attempt === this.#attempt) this.#lost("waiting", error.message);
      return;
    }
    if (attempt !== this.#attempt) return;
    const url = new URL(typeof this.#url === "function" ? this.#url() : this.#url, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url, protocols ?? []);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#options.greeted || this.#isLive();
    socket.onmessage = ({ data }) => {
      if (this.state !== "live") this.#isLive();
      this.#watchSilence();
      this.dispatchEvent(new CustomEvent("message", { detail: data }));
    };
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
    this.#socket = socket;
  }

  #isLive() {
    this.#liveSince = performance.now();
    this.#enter("live");
    this.#watchSilence();
  }

  #watchSilence() {
    clearTimeout(this.#timer);
    if (this.#options.silence) this.#alarm(this.#options.silence, "the server went quiet");
  }

  #closed(code, reason) {
    const words = reason || REASONS[code] || "the connection was lost";
    const anyway = this.#options.closed?.(code);
    if (anyway || comesBack(code)) this.#lost("waiting", words);
    else {
      this.#drop();
      this.#enter("ended", words);
    }
  }

  /** The connection is gone, or never came: wait, longer each time, unless the device itself is offline. */
  #lost(state, reason) {
    if (this.state === "live" && performance.now() - this.#liveSince > SETTLED_AFTER) this.#failures = 0;
    this.#drop();
    if (state === "offline" || navigator.onLine === false) return this.#enter("offline", reason);
    const delay = Math.random() * Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#failures++);
    this.retryAt = performance.now() + delay;
    this.#timer = setTimeout(() => this.#connect(), delay);
    this.#enter("waiting", reason);
  }

  /** Forget the socket without waiting for the other side, which may be dead. */
  #drop(code) {
    clearTimeout(this.#timer);
    this.#attempt++;
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(code);
    this.#socket = null;
  }

  #alarm(delay, reason) {
    this.#timer = setTimeout(() => this.#lost("waiting", reason), delay);
  }

  #isRunning() {
    return ["connecting", "live", "waiting"].includes(this.state);
  }

  #enter(state, reason = "") {
    this.state = state;
    this.reason = reason;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

const LABELS = { idle: "Not connected", connecting: "Connecting", live: "Live", offline: "Offline", ended: "Closed" };

/** <live-state>: a dot, a word and, where it helps, a button. Screen readers hear changes, not the countdown. */
class LiveState extends HTMLElement {
  #live;
  #ticking = 0;

  watch(live) {
    this.#live = live;
    this.innerHTML =
      '<span class="dot" aria-hidden="true"></span><span class="label" role="status"></span>' +
      '<span class="count" aria-hidden="true"></span><button type="button" hidden>Try now</button>';
    this.querySelector("button").addEventListener("click", () => live.start());
    live.addEventListener("state", () => this.#show());
    this.#show();
  }

  #show() {
    const { state, reason } = this.#live;
    const waiting = state === "waiting";
    this.dataset.state = state;
    this.title = reason;
    this.querySelector(".label").textContent = waiting ? "Reconnecting" : LABELS[state];
    const button = this.querySelector("button");
    const hadFocus = document.activeElement === button;
    button.hidden = !(waiting || state === "ended");
    button.textContent = waiting ? "Try now" : "Connect again";
    if (hadFocus && button.hidden) this.closest("body").querySelector("main")?.focus();
    clearInterval(this.#ticking);
    this.querySelector(".count").textContent = state === "ended" ? reason : "";
    if (waiting) {
      this.#tick();
      this.#ticking = setInterval(() => this.#tick(), 250);
    }
  }

  #tick() {
    const seconds = Math.max(0, Math.ceil((this.#live.retryAt - performance.now()) / 1000));
    this.querySelector(".count").textContent = seconds ? `in ${seconds} s` : "";
  }
}

customElements.define("live-state", LiveState);
