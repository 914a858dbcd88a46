// See rooms.d.ts; what begins with _ is ours.

const FRAMES = 64; // in one message …
const LENGTH = 16_384; // … or it is too long
const BUFFER = 1_000; // unread
const REMEMBERED = 3_600_000; // ms
const FOREVER = 1e6; // s

export class RoomsError extends Error {
  constructor(code, detail = code, field) {
    super(detail);
    Object.assign(this, { name: "RoomsError", code, detail, field });
  }
}

class Emitter {
  _reserved = [];
  #listeners = {};

  on(name, listener) {
    (this.#listeners[this.#key(name)] ??= new Set()).add(listener);
    return () => this.off(name, listener);
  }

  off(name, listener) {
    this.#listeners[this.#key(name)]?.delete(listener);
  }

  _emit(name, ...details) {
    const listeners = [...(this.#listeners[this.#key(name)] ?? [])];
    for (const listener of listeners) {
      try {
        listener(...details);
      } catch (error) {
        (globalThis.reportError ?? console.error)(error);
      }
    }
    return listeners.length;
  }

  _tell(message) {
    this._emit("message:" + message.event, message.data, message);
    this._emit("*", message.data, message);
  }

  /** Others name messages. */
  #key(name) {
    return this._reserved.includes(name) || name.startsWith("message:") ? name : "message:" + name;
  }
}

class Presence extends Emitter {
  users = {};
  count = 0;
  listed = false;

  update(metadata) {
    const mine = (this._metadata = JSON.parse(JSON.stringify(metadata)));
    const told = this._say(metadata);
    told.catch(({ code, detail }) => {
      if (code !== detail && mine === this._metadata) delete this._metadata; // else it is told again
    });
    return told;
  }

  _apply({ type, version, count, listed, users, joins, leaves, updates }) {
    const before = this.users;
    if (type === "presence") users = { __proto__: null, ...users };
    else if (version > this._version) {
      users = { __proto__: null, ...(listed && before), ...joins, ...updates };
      for (const user in leaves) delete users[user];
    } else return;
    this._version = version;
    const comparable = this.listed && listed;
    Object.assign(this, { users, count, listed });
    for (const user in comparable && { ...before, ...users }) {
      const [was, is] = [before, users].map((all) => JSON.stringify(all[user]));
      if (was !== is) this._emit(!was ? "join" : !is ? "leave" : "update", user, users[user] ?? before[user]);
    }
    this._emit("change", users);
  }
}

class Room extends Emitter {
  presence = new Presence();
  _reserved = ["joined", "left", "*"];
  _held = []; // what came before `joined`
  _again = false;
  _tries = 0;
  #rooms;

  constructor(rooms, name, since) {
    super();
    this.#rooms = rooms;
    this.name = name;
    this.position = since;
    this.joined = new Promise((...settle) => (this._settle = settle));
    this.joined.catch(() => {}); // "error" tells of it too
    this.presence._say = (metadata) => rooms._request({ type: "presence", room: name, metadata }, {}, false);
  }

  send(command, data = null, options) {
    return this.#rooms._request({ type: "send", room: this.name, command, data }, options);
  }

  publish(event, data = null, options) {
    return this.#rooms._request({ type: "publish", room: this.name, event, data }, options);
  }

  leave() {
    this.#rooms._leave(this);
  }

  async *[Symbol.asyncIterator]() {
    const buffer = [];
    let wake, error;
    const stops = ["*", "left"].map((name) =>
      this.on(name, (_, message) => {
        if (message && !error && buffer.push(message) > BUFFER) error = new RoomsError("overflow");
        wake?.();
      }),
    );
    try {
      for (;;) {
        if (buffer.length) yield buffer.shift();
        else if ((error ??= this._error)) throw error;
        else if (this._over) return;
        else await new Promise((resolve) => (wake = resolve));
      }
    } finally {
      for (const stop of stops) stop();
    }
  }
}

/** Seconds until a JWT expires; our clock may be wrong. */
const lifeOf = (token) => {
  try {
    const { exp, iat } = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return Math.max(10, exp - Math.max(Date.now() / 1000, iat ?? 0));
  } catch {
    // another kind of token
  }
};

export class Rooms extends Emitter {
  state = "connecting";
  _reserved = ["state", "error", "close", "dropped", "*"];
  #options;
  #url;
  #auto;
  #streaming;
  #rooms = new Map();
  #queue = []; // not sent yet, in order
  #waiters = new Map(); // for answers, by id
  #id = 0;
  #link;
  #open; // the link takes frames
  #attempt = 0;
  #tries = 0;
  #fails = 0; // of WebSockets, in a row
  #delay; // that the server told
  #heartbeat;
  #timers = new Map();
  #stop = new AbortController();

  constructor(url, options) {
    super();
    const { WebSocket, fetch, document, location } = globalThis;
    const defaults = { transport: "auto", timeout: 10, queue: 100, minDelay: 0.5, maxDelay: 20, connectTimeout: 10 };
    const { transport } = (this.#options = { WebSocket, fetch, ...defaults, ...options });
    this.#url = new URL(url, document?.baseURI ?? location?.href);
    this.#auto = transport === "auto" && this.#options.WebSocket;
    const worked = this.#auto && this.#remember("getItem");
    this.#fails = worked ? 1 : 0;
    this.#streaming = this.#auto ? Date.now() - worked < REMEMBERED : transport !== "websocket";

    const listen = (target, name, listener) =>
      target?.addEventListener?.(name, listener, { signal: this.#stop.signal });
    listen(globalThis, "online", () => this.#wake());
    listen(globalThis, "offline", () => this.#check(3));
    listen(document, "visibilitychange", () => document.visibilityState === "visible" && this.#wake());
    // With a connection a page is not kept for "back".
    listen(globalThis, "pagehide", () => {
      this.#drop();
      this.#enter("waiting");
    });
    listen(globalThis, "pageshow", ({ persisted }) => persisted && this.#wake());
    this.#connect();
  }

  join(name, { since } = {}) {
    let room = this.#rooms.get(name);
    if (!room) {
      room = new Room(this, name, since);
      this.#rooms.set(name, room);
      if (this.state === "closed") this.#out(room, new RoomsError("closed"));
      else if (this.#open) this.#ask(room);
    }
    return room;
  }

  send(command, data = null, options) {
    return this._request({ type: "send", command, data }, options);
  }

  close() {
    this.#end(1000, "");
  }

  async #connect() {
    this.#drop();
    const attempt = this.#attempt;
    const { token: given, connectTimeout } = this.#options;
    this.#later("attempt", connectTimeout, () => this.#lost());
    this.#enter("connecting");
    try {
      const token = await (typeof given === "function" ? given() : given);
      if (attempt !== this.#attempt) return;
      this.#link = this.#streaming ? this.#openStream(token) : this.#openSocket(token);
    } catch (error) {
      if (attempt !== this.#attempt) return;
      this.#lost(1011);
      this.#fail(error);
    }
  }

  #address(scheme, path) {
    const url = new URL(this.#url);
    url.protocol = url.protocol.replace(/http|ws/, scheme);
    url.pathname = url.pathname.replace(/\/*$/, path);
    return url;
  }

  #opened(token) {
    const kept = this.#queue;
    this.#queue = [];
    this.#open = true;
    this.#push({ type: "connect", token }, (error, frame) => error || this.#connected(frame, token));
    for (const room of this.#rooms.values()) this.#ask(room);
    this.#queue.push(...kept);
  }

  #connected({ user, connection, heartbeat }, token) {
    this.#later("attempt", 5, () => (this.#tries = 0)); // what lasts is a success
    Object.assign(this, { user, connection });
    this.#heartbeat = heartbeat;
    this.#heard();
    if (typeof this.#options.token === "function") this.#renewIn(lifeOf(token));
    // Not before: while the server is away, nothing connects.
    this.#fails = this.#streaming ? 1 : 0;
    if (this.#auto) this.#remember(this.#streaming ? "setItem" : "removeItem", Date.now());
    this.#enter("connected");
    this.#link?.flush();
  }

  #lost(code = 1006, reason = "") {
    const was = this.state;
    const opened = this.#open;
    this.#drop();
    // Maybe no hub's.
    if (was !== "connected" && code < 1006 && !this.#streaming) code = 1006;
    const comesBack = code >= 4000 ? code < 4500 : [1001, 1005, 1006, 1011, 1012, 1013].includes(code);
    // The same token would expire again.
    if (!comesBack || (code === 4001 && typeof this.#options.token === "string")) return this.#end(code, reason);
    let delay = this.#delay ?? this.#jitter(this.#tries++);
    this.#delay = undefined;
    if (this.#auto && was !== "connected") {
      if (this.#streaming) this.#streaming = opened;
      else if (code === 1006 && ++this.#fails > 1) {
        // At once: what opens now was not away.
        this.#streaming = true;
        this.#fails = delay = 0;
      }
    }
    this.#later("attempt", delay, () => this.#connect());
    this.#enter("waiting");
  }

  #drop() {
    this.#attempt++;
    this.#open = false;
    this.#timers.forEach(clearTimeout);
    this.#timers.clear();
    this.#link?.close();
    this.#link = undefined;
    for (const room of this.#rooms.values()) room._in = false;
    this.#queue = this.#queue.filter(({ keep }) => keep);
    for (const waiter of this.#waiters.values()) waiter(new RoomsError("lost"));
    this.#waiters.clear();
  }

  #end(code, reason) {
    if (this.state === "closed") return;
    this.#stop.abort();
    this.#drop();
    this.#enter("closed");
    for (const { waiter } of this.#queue) waiter(new RoomsError("closed"));
    const error = code > 1000 ? new RoomsError("closed", reason) : undefined;
    for (const room of this.#rooms.values()) this.#out(room, error);
    this._emit("close", { code, reason });
  }

  #enter(state) {
    this.state = state;
    this._emit("state", state);
  }

  #fail(error) {
    this._emit("error", error) || console.warn(error);
  }

  #later(what, seconds, work) {
    clearTimeout(this.#timers.get(what));
    this.#timers.set(what, setTimeout(work, seconds * 1000));
  }

  #jitter(tries) {
    const { minDelay, maxDelay } = this.#options;
    return Math.random() * Math.min(maxDelay, minDelay * 2 ** tries);
  }

  #wake() {
    this.#tries = 0;
    if (this.state === "waiting") this.#connect();
    else this.#check(3);
  }

  #heard() {
    this.#later("life", this.#heartbeat ?? FOREVER, () => this.#check(10));
  }

  #check(patience) {
    if (this.state !== "connected") return;
    this.#later("life", patience, () => this.#lost());
    this.#push({ type: "ping" });
  }

  #renewIn(life) {
    if (!(life > 1)) return;
    const attempt = this.#attempt;
    this.#later("token", Math.min(life * 0.8, FOREVER), async () => {
      try {
        const token = await this.#options.token();
        if (attempt !== this.#attempt) return;
        this.#renewIn((await this._request({ type: "refresh", token }, {}, false)).expires_in);
      } catch (error) {
        if (attempt === this.#attempt) this.#fail(error);
      }
    });
  }

  #remember(how, value) {
    try {
      return sessionStorage[how]("fastapi-rooms:" + this.#url, value);
    } catch {
      // none, or forbidden
    }
  }

  // Two ways to the hub. Once closed they are silent.

  #openSocket(token) {
    const attempt = this.#attempt;
    const socket = new this.#options.WebSocket(this.#address("ws", "/websocket"), ["rooms.v1.json"]);
    socket.onopen = () => this.#opened(token);
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = ({ code, reason }) => this.#lost(code, reason);
    // Where it is refused, node 20 says only this.
    socket.onerror = () => attempt === this.#attempt && !socket.readyState && this.#lost();
    return {
      flush: () => {
        for (let frames; socket.readyState === 1 && (frames = this.#take()); ) socket.send(frames);
      },
      close() {
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close();
      },
    };
  }

  #openStream(token) {
    const { fetch, connectTimeout } = this.#options;
    const url = this.#address("http", "/sse");
    const stream = new AbortController();
    const { signal } = stream;
    let session, posting, timer, busy;
    let number = 0;

    const read = async () => {
      const answer = await fetch(url, { cache: "no-store", signal });
      if (!answer.ok) return { 401: 4500, 403: 4507 }[answer.status];
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      let data = "";
      for (let part; !(part = await reader.read()).done; ) {
        this.#heard();
        // A CR at the end may be half of a CRLF.
        const lines = (rest + part.value).split(/\r\n|\n|\r(?!$)/);
        rest = lines.pop();
        for (const line of lines) {
          if (line.startsWith("data:")) data += line.slice(5) + "\n";
          else if (!line && data && !signal.aborted) {
            this.#received(data);
            data = "";
          }
        }
      }
    };

    const flush = async () => {
      if (busy || !session) return;
      busy = true;
      for (let frames; (frames = this.#take()); ) {
        const body = `{"session":${JSON.stringify(session)},"number":${++number},"frames":${frames}}`;
        for (let tries = 0; ; tries++) {
          posting = new AbortController();
          timer = setTimeout(() => posting.abort(), connectTimeout * 1000);
          const { status, headers } = await fetch(url, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body,
            signal: posting.signal,
          }).catch(() => ({ status: 503 })); // taken or not: the same number again
          clearTimeout(timer);
          if (signal.aborted) return;
          if (status < 300) break;
          if (status < 500 && status !== 429) return this.#lost(status === 413 ? 1009 : 1006);
          const pause = Math.max(Number(headers?.get("retry-after")) || 0, this.#jitter(tries));
          await new Promise((resolve) => (timer = setTimeout(resolve, pause * 1000)));
        }
      }
      busy = false;
    };

    read().catch(() => {}).then((code) => signal.aborted || this.#lost(code));
    return {
      flush,
      close() {
        stream.abort();
        posting?.abort();
        clearTimeout(timer);
      },
      start: (name) => {
        session = name;
        this.#opened(token);
      },
    };
  }

  /** What is not kept goes with the connection. */
  #push(frame, waiter, keep) {
    const id = waiter && ++this.#id;
    this.#queue.push({ id, waiter, keep, text: JSON.stringify({ ...frame, id }) });
    queueMicrotask(() => this.#link?.flush()); // one turn, one message
    return id;
  }

  #take() {
    let length = 0;
    let count = 0;
    for (const { text, keep } of this.#queue) {
      length += text.length;
      if (count === FRAMES || (count && length > LENGTH) || (keep && this.state !== "connected")) break;
      count++;
    }
    const taken = this.#queue.splice(0, count);
    for (const { id, waiter } of taken) if (waiter) this.#waiters.set(id, waiter);
    return count && `[${taken.map(({ text }) => text)}]`;
  }

  async _request(frame, { timeout = this.#options.timeout } = {}, keep = true) {
    if (this.state === "closed") throw new RoomsError("closed");
    if (!keep && !this.#open) return;
    if (this.state !== "connected" && this.#queue.filter(({ keep }) => keep).length >= this.#options.queue)
      throw new RoomsError("offline");
    let id = 0;
    let timer;
    try {
      return await new Promise((resolve, reject) => {
        id = this.#push(frame, (error, answer) => (error ? reject(error) : resolve(answer.data)), keep);
        if (timeout !== null) timer = setTimeout(() => reject(new RoomsError("timeout")), timeout * 1000);
      });
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(id);
      this.#queue = this.#queue.filter((one) => one.id !== id);
    }
  }

  #ask(room) {
    const { name, position, presence } = room;
    if (room._over) return;
    room._held = [];
    presence._version = Infinity;
    this.#push({ type: "join", room: name, since: position }, (error, frame) =>
      error ? this.#refused(room, error) : this.#joined(room, frame),
    );
    if (presence._metadata) this.#push({ type: "presence", room: name, metadata: presence._metadata });
  }

  #joined(room, { position, recovered, reason }) {
    if (room._over) return;
    const joined = { position, recovered, reason, again: room._again };
    const held = room._held.splice(0);
    // Who keeps our position must not keep one of the future.
    if (!held.some((one) => one.position)) room.position = position;
    room._in = room._again = true;
    room._tries = 0;
    room._settle[0](joined);
    room._emit("joined", joined);
    for (const message of held) this.#deliver(room, message);
  }

  #refused(room, error) {
    if (room._over || error.code === "lost") return;
    if (error.code !== "unavailable") this.#out(room, error);
    else this.#later(room, this.#jitter(room._tries++), () => this.#ask(room));
    this.#fail(error);
  }

  _leave(room) {
    if (this.#open && !room._over) this.#push({ type: "leave", room: room.name }, () => {});
    this.#out(room);
  }

  #out(room, error) {
    if (room._over) return;
    room._over = true;
    room._error = error;
    this.#rooms.delete(room.name);
    room._settle[1](error ?? new RoomsError("closed"));
    room._emit("left", error);
  }

  #deliver(room, message) {
    if (room._over) return;
    room.position = message.position ?? room.position;
    room._tell(message);
  }

  #received(text) {
    this.#heard();
    const attempt = this.#attempt;
    try {
      for (const frame of [JSON.parse(text)].flat()) if (attempt === this.#attempt) this.#handle(frame);
    } catch {
      this.#lost(); // no message
    }
  }

  #handle(frame) {
    const { type = "message", id, code, detail, field } = frame;
    const room = this.#rooms.get(frame.room);
    const waiter = this.#waiters.get(id);
    this.#waiters.delete(id);
    const error = type === "error" && new RoomsError(code, detail, field);
    if (waiter) waiter(error, frame);
    else if (error) this.#fail(error);
    switch (type) {
      case "message":
        frame.event ??= type;
        if (frame.room === undefined) this._tell(frame);
        else if (room?._in) this.#deliver(room, frame);
        else room?._held.push(frame);
        break;
      case "presence":
      case "presence-diff":
        room?.presence._apply(frame);
        break;
      case "left":
        // Else it is about the time before.
        if (room?._in) this.#out(room, new RoomsError("removed"));
        else if (room) room._held = [];
        break;
      case "ping":
        this.#push({ type: "pong" });
        break;
      case "dropped":
        this._emit("dropped", frame);
        break;
      case "going-away":
        this.#delay = frame.delay;
        break;
      case "session":
        this.#link.start?.(frame.session);
        break;
      case "close":
        this.#lost(code, frame.reason);
    }
  }
}
