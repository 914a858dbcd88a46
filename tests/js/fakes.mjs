// A hub that says what a test wants it to, and a clock that moves when a test says so.

import { mock } from "node:test";

import { Rooms } from "../../js/rooms.js";

/** Whatever is due without a timer has happened. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

/** Seconds pass, in small steps, so that what a timer begins goes on meanwhile. */
export const pass = async (seconds) => {
  await settled();
  for (let left = Math.round(seconds * 1000); left > 0; left -= 50) {
    mock.timers.tick(Math.min(left, 50));
    await settled();
  }
};

export const CONNECTED = { type: "connected", protocol: "rooms.v1", connection: "c1", user: "ann", heartbeat: 35 };

/** The client's side of a socket, and what the test does as its server. */
export class FakeSocket {
  readyState = 0;
  messages = [];

  constructor(url, protocols) {
    Object.assign(this, { url: String(url), protocols });
    this.constructor.all.push(this);
  }

  send(text) {
    if (this.readyState !== 1) throw new Error("not open");
    this.messages.push([JSON.parse(text)].flat());
  }

  close() {
    this.readyState = 3;
  }

  get frames() {
    return this.messages.flat();
  }

  /** The frames of one type. */
  sent(type) {
    return this.frames.filter((frame) => frame.type === type);
  }

  async open() {
    this.readyState = 1;
    this.onopen?.({});
    await settled();
  }

  async say(...frames) {
    this.onmessage?.({ data: JSON.stringify(frames.length === 1 ? frames[0] : frames) });
    await settled();
  }

  async end(code = 1006, reason = "") {
    this.readyState = 3;
    this.onerror?.({});
    this.onclose?.({ code, reason });
    await settled();
  }

  /** Opened, and taken in. */
  async connect(extra = {}) {
    await this.open();
    await this.say({ ...CONNECTED, id: this.sent("connect")[0].id, ...extra });
  }

  /** Every join that is not answered yet is. */
  async admit(extra = {}) {
    for (const { id, room } of this.sent("join")) await this.say({ type: "joined", id, room, ...extra });
  }
}

/** Rooms with fake sockets, closed at the test's end; all that they tell is kept. */
export const start = (t, options = {}, url = "http://hub.test/live") => {
  useClock(t);
  class Socket extends FakeSocket {
    static all = [];
  }
  const rooms = new Rooms(url, { WebSocket: Socket, transport: "websocket", ...options });
  const told = { states: [], errors: [], closes: [] };
  rooms.on("state", (state) => told.states.push(state));
  rooms.on("error", (error) => told.errors.push(error));
  rooms.on("close", (closed) => told.closes.push(closed));
  t.after(() => rooms.close());
  return { rooms, sockets: Socket.all, ...told };
};

/** The same, with its first connection. */
export const connected = async (t, options, extra) => {
  const all = start(t, options);
  await settled();
  await all.sockets[0].connect(extra);
  return { ...all, socket: all.sockets[0] };
};

let clocks = 0;

export const useClock = (t) => {
  if (clocks++ === 0) mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
  t.after(() => --clocks || mock.timers.reset());
};

/** The greatest delay that chance allows. */
export const noLuck = (t, value = 1) => t.mock.method(Math, "random", () => value);

/** What becomes of a promise, without waiting for it. */
export const outcome = (promise) => {
  const seen = {};
  promise.then(
    (value) => Object.assign(seen, { value }),
    (error) => Object.assign(seen, { error }),
  );
  return seen;
};

/** A page: what browsers have and node has not. */
export const usePage = (t, href = "https://app.test/room/1") => {
  const page = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: "visible", baseURI: href });
  const stored = new Map();
  const sessionStorage = {
    getItem: (key) => stored.get(key) ?? null,
    setItem: (key, value) => stored.set(key, String(value)),
    removeItem: (key) => stored.delete(key),
  };
  const add = (...what) => page.addEventListener(...what);
  const names = { document, sessionStorage, addEventListener: add };
  for (const [name, value] of Object.entries(names)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  t.after(() => Object.keys(names).forEach((name) => delete globalThis[name]));
  return {
    stored,
    tell: async (type, details = {}) => {
      page.dispatchEvent(Object.assign(new Event(type), details));
      await settled();
    },
    show: async (visibilityState) => {
      document.visibilityState = visibilityState;
      document.dispatchEvent(new Event("visibilitychange"));
      await settled();
    },
  };
};

/** A hub behind `fetch`: streams that the test writes to, and POSTs that it answers. */
export class FakeStreams {
  streams = [];
  posts = [];
  answer = () => ({ status: 204 });
  refuse = null; // a status, or an error to throw, for new streams

  fetch = async (url, { method = "GET", body, signal }) => {
    if (method === "POST") return this.#post(String(url), JSON.parse(body), signal);
    if (this.refuse instanceof Error) throw this.refuse;
    if (this.refuse) return new Response("", { status: this.refuse });
    const stream = { url: String(url), signal, posts: [] };
    const readable = new ReadableStream({
      start: (controller) => {
        stream.controller = controller;
        signal.addEventListener("abort", () => controller.error(new DOMException("aborted", "AbortError")));
      },
    });
    stream.write = async (bytes) => {
      stream.controller.enqueue(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes);
      await settled();
      await settled();
    };
    stream.say = (...frames) => stream.write(`data: ${JSON.stringify(frames.length === 1 ? frames[0] : frames)}\n\n`);
    stream.end = async () => {
      stream.controller.close();
      await settled();
    };
    stream.connect = async (extra = {}) => {
      await stream.say({ type: "session", session: `s${this.streams.length}` });
      const [{ id }] = this.posts.at(-1).frames;
      await stream.say({ ...CONNECTED, id, ...extra });
    };
    this.streams.push(stream);
    return new Response(readable, { headers: { "content-type": "text/event-stream" } });
  };

  async #post(url, body, signal) {
    this.posts.push({ url, ...body });
    this.posting = signal;
    const answer = await Promise.race([
      this.answer(body, this.posts.length),
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")))),
    ]);
    if (answer instanceof Error) throw answer;
    return new Response(null, answer);
  }
}
