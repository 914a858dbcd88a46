import assert from "node:assert/strict";
import { test } from "node:test";

import { connected, noLuck, pass, settled, start } from "./fakes.mjs";

/** How long it waits between attempts that all fail, in seconds. */
const delays = async (all, attempts) => {
  const found = [];
  for (let attempt = 0; attempt < attempts; attempt++) {
    const { length } = all.sockets;
    await all.sockets.at(-1).end();
    const before = Date.now();
    while (all.sockets.length === length) await pass(0.05);
    found.push((Date.now() - before) / 1000);
  }
  return found;
};

test("the longest delay doubles from 500 ms to 20 s", async (t) => {
  noLuck(t);
  const all = start(t);
  await settled();
  assert.deepEqual(await delays(all, 8), [0.5, 1, 2, 4, 8, 16, 20, 20]);
});

test("the delay is random from nothing on", async (t) => {
  const chance = noLuck(t, 0);
  const all = start(t, { minDelay: 1, maxDelay: 4 });
  await settled();
  assert.deepEqual(await delays(all, 2), [0.05, 0.05]);
  chance.mock.mockImplementation(() => 0.5);
  assert.deepEqual(await delays(all, 2), [2, 2]);
});

test("a connection that breaks soon does not count as a success, one that lasts does", async (t) => {
  noLuck(t);
  const all = start(t);
  await settled();
  await all.sockets[0].connect();
  assert.deepEqual(await delays(all, 1), [0.5]);
  await all.sockets[1].connect();
  assert.deepEqual(await delays(all, 1), [1]);
  await all.sockets[2].connect();
  await pass(5);
  assert.deepEqual(await delays(all, 1), [0.5]);
});

test("a socket that is refused, and says no more than that something is wrong, is given up at once", async (t) => {
  noLuck(t);
  const { rooms, sockets } = start(t);
  await settled();
  sockets[0].onerror({}); // so it is in node 20
  assert.equal(rooms.state, "waiting");
  await pass(0.5);
  assert.equal(sockets.length, 2);
  sockets[0].onerror({});
  assert.equal(rooms.state, "connecting");
});

test("these close codes say to come back", async (t) => {
  for (const code of [1001, 1005, 1006, 1011, 1012, 1013, 4000, 4001, 4008, 4010, 4012, 4013, 4499]) {
    const { rooms, socket, sockets, closes } = await connected(t);
    await socket.end(code);
    assert.equal(rooms.state, "waiting", String(code));
    await pass(0.5);
    assert.equal(sockets.length, 2);
    assert.deepEqual(closes, []);
  }
});

test("these say not to", async (t) => {
  for (const code of [1000, 1002, 1003, 1007, 1008, 1009, 1010, 3000, 4500, 4501, 4502, 4504, 4507, 4999]) {
    const { rooms, socket, sockets, closes } = await connected(t);
    await socket.end(code, "because");
    assert.equal(rooms.state, "closed", String(code));
    await pass(60);
    assert.equal(sockets.length, 1);
    assert.deepEqual(closes, [{ code, reason: "because" }]);
  }
});

test("a page that closes is told so once", async (t) => {
  const { rooms, closes } = await connected(t);
  rooms.close();
  rooms.close();
  assert.deepEqual(closes, [{ code: 1000, reason: "" }]);
});

test("rooms are told why the connection has ended for good", async (t) => {
  const { rooms, socket } = await connected(t);
  const room = rooms.join("lobby");
  const left = [];
  room.on("left", (error) => left.push([error.code, error.detail]));
  await socket.end(4507, "signed out");
  assert.deepEqual(left, [["closed", "signed out"]]);
  await assert.rejects(room.joined, { code: "closed" });
});

test("a token that has expired is fetched anew", async (t) => {
  let asked = 0;
  const { socket, sockets } = await connected(t, { token: () => `token-${++asked}` });
  await socket.end(4001);
  await pass(0.5);
  await sockets[1].open();
  assert.equal(sockets[1].frames[0].token, "token-2");
});

test("a token that cannot be fetched anew ends it once it has expired", async (t) => {
  const { rooms, socket, closes } = await connected(t, { token: "a string" });
  await socket.end(4001, "expired");
  assert.equal(rooms.state, "closed");
  assert.deepEqual(closes, [{ code: 4001, reason: "expired" }]);
});

test("after going-away the connection stays, and the delay is the server's, once", async (t) => {
  noLuck(t);
  const all = await connected(t);
  await all.socket.say({ type: "going-away", delay: 2.7 });
  await pass(4);
  assert.equal(all.rooms.state, "connected");
  await all.socket.end(1012);
  await pass(2.65);
  assert.equal(all.sockets.length, 1);
  await pass(0.05);
  assert.equal(all.sockets.length, 2);
  assert.deepEqual(await delays(all, 2), [0.5, 1]);
});

test("a socket that cannot be made is told of, and tried again", async (t) => {
  noLuck(t);
  let made = 0;
  const Broken = class {
    constructor() {
      made++;
      throw new DOMException("insecure", "SecurityError");
    }
  };
  const { rooms, errors } = start(t, { WebSocket: Broken });
  await settled();
  assert.equal(rooms.state, "waiting");
  assert.equal(errors[0].name, "SecurityError");
  await pass(0.5);
  assert.equal(made, 2);
});

test("a connection that is given up says nothing any more", async (t) => {
  const { rooms, socket, states } = await connected(t);
  const { onmessage, onclose } = socket;
  rooms.close();
  assert.deepEqual([socket.onopen, socket.onmessage, socket.onclose], [null, null, null]);
  assert.ok(onmessage && onclose);
  assert.deepEqual(states, ["connected", "closed"]);
});
