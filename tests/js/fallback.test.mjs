import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeStreams, noLuck, pass, settled, start, usePage } from "./fakes.mjs";

const KEY = "fastapi-rooms:http://hub.test/live";
const HOUR = 3_600_000;

const auto = async (t, options = {}, { since } = {}) => {
  noLuck(t);
  const page = usePage(t);
  const hub = new FakeStreams();
  let all;
  if (since === undefined) all = start(t, { transport: "auto", fetch: hub.fetch, ...options });
  else {
    // The clock is that of the test: it begins with the first `start`.
    start(t, { token: () => new Promise(() => {}) });
    page.stored.set(KEY, String(Date.now() - since));
    all = start(t, { transport: "auto", fetch: hub.fetch, ...options });
  }
  await settled();
  await settled();
  return { ...all, hub, page };
};

/** The attempt with a WebSocket that is under way fails, and what follows is begun. */
const fail = async (all, code = 1006) => {
  const { length } = all.sockets;
  await all.sockets.at(-1).end(code);
  for (let tries = 0; tries < 500 && all.sockets.length === length && all.hub.streams.length === 0; tries++) {
    await pass(0.05);
    if (all.hub.refuse && all.sockets.length > length) break;
  }
};

test("where WebSockets work nothing else is tried", async (t) => {
  const { rooms, sockets, hub, page } = await auto(t);
  await sockets[0].connect();
  await sockets[0].end(1012);
  await pass(0.5);
  await sockets[1].connect();
  assert.equal(rooms.state, "connected");
  assert.equal(hub.streams.length, 0);
  assert.equal(page.stored.size, 0);
});

test("two WebSockets that do not open, in a row, are enough, and the stream is tried at once", async (t) => {
  const all = await auto(t);
  await fail(all);
  assert.equal(all.sockets.length, 2);
  await all.sockets[1].end();
  await pass(0.05);
  assert.equal(all.hub.streams.length, 1);
  assert.equal(all.page.stored.size, 0);
  await all.hub.streams[0].connect();
  assert.equal(all.rooms.state, "connected");
  assert.equal(all.page.stored.get(KEY), String(Date.now()));
});

test("one that opens and says nothing counts as one that does not open", async (t) => {
  const all = await auto(t, { connectTimeout: 1 });
  await all.sockets[0].open();
  await pass(1.5);
  await all.sockets[1].open();
  await pass(1.05);
  assert.equal(all.hub.streams.length, 1);
});

for (const code of [1000, 1001, 1005]) {
  test(`one that opens and is ended with ${code}, by no hub, counts as one that does not open`, async (t) => {
    const all = await auto(t);
    await all.sockets[0].open();
    await fail(all, code);
    assert.equal(all.sockets.length, 2);
    await all.sockets[1].open();
    await all.sockets[1].end(code);
    await pass(0.05);
    assert.equal(all.hub.streams.length, 1);
    assert.notEqual(all.rooms.state, "closed");
  });
}

test("a hub that ends the stream, too, before it connects is left", async (t) => {
  const all = await auto(t);
  for (const socket of [0, 1]) {
    await all.sockets[socket].open();
    await fail(all, 1000);
  }
  assert.equal(all.hub.streams.length, 1);
  await all.hub.streams[0].say({ type: "close", code: 1000, reason: "go away" });
  assert.equal(all.rooms.state, "closed");
});

test("one that the hub closed does not", async (t) => {
  const all = await auto(t);
  for (let attempt = 0; attempt < 4; attempt++) {
    await all.sockets.at(-1).open();
    await fail(all, 1013);
  }
  assert.equal(all.hub.streams.length, 0);
});

test("a failure before a success does not count", async (t) => {
  const all = await auto(t);
  await fail(all);
  await all.sockets[1].connect();
  await fail(all);
  await fail(all);
  assert.equal(all.hub.streams.length, 0);
  assert.equal(all.sockets.length, 4);
});

test("while the server is away neither opens, and WebSockets are used once it is back", async (t) => {
  const all = await auto(t);
  all.hub.refuse = new TypeError("refused");
  for (let attempt = 0; attempt < 5; attempt++) await fail(all);
  all.hub.refuse = 502;
  for (let attempt = 0; attempt < 5; attempt++) await fail(all);
  await all.sockets.at(-1).connect();
  assert.equal(all.rooms.state, "connected");
  assert.equal(all.hub.streams.length, 0);
  assert.equal(all.page.stored.size, 0);
});

test("a page that remembers begins with the stream, for an hour", async (t) => {
  const { sockets, hub } = await auto(t, {}, { since: HOUR - 1 });
  assert.deepEqual([sockets.length, hub.streams.length], [0, 1]);
});

test("after an hour a WebSocket is tried, and one failure is enough", async (t) => {
  const all = await auto(t, {}, { since: HOUR });
  assert.deepEqual([all.sockets.length, all.hub.streams.length], [1, 0]);
  await all.sockets[0].end();
  await pass(0.05);
  await all.hub.streams[0].connect();
  assert.equal(all.page.stored.get(KEY), String(Date.now()));
});

test("after an hour a WebSocket that connects is remembered by forgetting", async (t) => {
  const { sockets, page } = await auto(t, {}, { since: HOUR });
  await sockets[0].connect();
  assert.equal(page.stored.size, 0);
});

test("a stream that is remembered and does not open gives way to a WebSocket, and that to the stream", async (t) => {
  noLuck(t);
  const all = await auto(t, {}, { since: 0 });
  await all.hub.streams[0].connect();
  all.hub.refuse = 503;
  await all.hub.streams[0].end();
  await pass(0.5);
  assert.equal(all.sockets.length, 0);
  await pass(1);
  assert.equal(all.sockets.length, 1);
  all.hub.refuse = null;
  await all.sockets[0].end();
  await pass(0.05);
  assert.equal(all.hub.streams.length, 2);
});

test("a stream that had connected is opened again as a stream", async (t) => {
  const { hub, sockets } = await auto(t, {}, { since: 0 });
  await hub.streams[0].connect();
  await hub.streams[0].end();
  await pass(0.5);
  assert.deepEqual([sockets.length, hub.streams.length], [0, 2]);
});

test("a token that cannot be fetched says nothing about WebSockets", async (t) => {
  for (const failures of [1, 2, 3]) {
    let left = failures;
    const token = async () => {
      if (left-- > 0) throw new Error("no");
      return "t";
    };
    const { sockets, hub } = await auto(t, { token });
    await pass(5);
    assert.deepEqual([sockets.length, hub.streams.length], [1, 0]);
  }
});

test("one that says nothing but that there was an error, as node's does, counts as well", async (t) => {
  const all = await auto(t);
  all.sockets[0].onerror({});
  await pass(0.5);
  all.sockets[1].onerror({});
  await pass(0.05);
  assert.deepEqual([all.sockets.length, all.hub.streams.length], [2, 1]);
  all.sockets[1].onerror({});
  await all.hub.streams[0].connect();
  assert.equal(all.rooms.state, "connected");
});

test("an outage costs one stream for two WebSockets", async (t) => {
  const tried = [];
  const failing = class {
    constructor() {
      tried.push("websocket");
      queueMicrotask(() => this.onclose?.({ code: 1006, reason: "" }));
    }
    close() {}
  };
  const fetch = () => tried.push("sse") && Promise.reject(new TypeError("refused"));
  start(t, { transport: "auto", WebSocket: failing, fetch });
  await pass(60);
  assert.equal(tried.slice(0, 9).join(), "websocket,websocket,sse,websocket,websocket,sse,websocket,websocket,sse");
});

test("where nothing may be stored it works without", async (t) => {
  noLuck(t);
  usePage(t);
  Object.defineProperty(globalThis, "sessionStorage", {
    configurable: true,
    get() {
      throw new DOMException("denied", "SecurityError");
    },
  });
  const hub = new FakeStreams();
  const { rooms, sockets } = start(t, { transport: "auto", fetch: hub.fetch });
  await settled();
  await sockets[0].end();
  await pass(0.5);
  await sockets[1].end();
  await pass(0.05);
  await hub.streams[0].connect();
  assert.equal(rooms.state, "connected");
});

test("where there are no WebSockets at all, streams are used", async (t) => {
  noLuck(t);
  const hub = new FakeStreams();
  hub.refuse = 503;
  start(t, { transport: "auto", fetch: hub.fetch, WebSocket: undefined });
  await pass(0.5);
  hub.refuse = null;
  await pass(1);
  assert.equal(hub.streams.length, 1);
});

test("who asks for one way gets no other", async (t) => {
  noLuck(t);
  const page = usePage(t);
  const hub = new FakeStreams();
  const socket = start(t, { transport: "websocket", fetch: hub.fetch });
  page.stored.set(KEY, String(Date.now()));
  const stream = start(t, { transport: "sse", fetch: hub.fetch });
  await settled();
  await hub.streams[0].connect({ heartbeat: null });
  for (let attempt = 0; attempt < 3; attempt++) {
    await socket.sockets.at(-1).end();
    await pass(5);
  }
  assert.equal(socket.sockets.length, 4);
  assert.equal(stream.sockets.length, 0);
  assert.equal(hub.streams.length, 1);
});
