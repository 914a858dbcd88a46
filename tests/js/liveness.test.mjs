import assert from "node:assert/strict";
import { test } from "node:test";

import { connected, noLuck, pass, settled, start, usePage } from "./fakes.mjs";

test("a ping is answered with a pong", async (t) => {
  const { socket } = await connected(t);
  await socket.say({ type: "ping" });
  assert.deepEqual(socket.frames.at(-1), { type: "pong" });
});

test("after a heartbeat of silence it asks, and ten seconds later it comes back anew", async (t) => {
  const { rooms, socket } = await connected(t, {}, { heartbeat: 35 });
  await pass(34.9);
  assert.deepEqual(socket.sent("ping"), []);
  await pass(0.1);
  assert.deepEqual(socket.sent("ping"), [{ type: "ping" }]);
  await pass(9.9);
  assert.equal(rooms.state, "connected");
  await pass(0.1);
  assert.notEqual(rooms.state, "connected");
  assert.equal(socket.readyState, 3);
});

test("anything that is heard is a sign of life", async (t) => {
  const { rooms, socket } = await connected(t, {}, { heartbeat: 35 });
  await pass(34);
  await socket.say({ type: "message", event: "notice", data: 1 });
  await pass(34);
  assert.deepEqual(socket.sent("ping"), []);
  await pass(1);
  await socket.say({ type: "pong" });
  await pass(30);
  assert.equal(rooms.state, "connected");
  assert.equal(socket.sent("ping").length, 1);
});

test("without a heartbeat silence means nothing", async (t) => {
  const { rooms, socket } = await connected(t, {}, { heartbeat: null });
  await pass(600);
  assert.equal(rooms.state, "connected");
  assert.deepEqual(socket.sent("ping"), []);
});

test("a page that comes online connects at once", async (t) => {
  noLuck(t);
  const page = usePage(t);
  const { sockets } = start(t, { minDelay: 20 });
  await settled();
  await sockets[0].end();
  await pass(5);
  assert.equal(sockets.length, 1);
  await page.tell("online");
  assert.equal(sockets.length, 2);
});

test("a page that comes online waits no longer afterwards than at first", async (t) => {
  noLuck(t);
  const page = usePage(t);
  const { sockets } = start(t);
  for (let attempt = 0; attempt < 5; attempt++) {
    await settled();
    await sockets.at(-1).end();
    await pass(20);
  }
  await sockets.at(-1).end();
  await page.tell("online");
  const { length } = sockets;
  await sockets.at(-1).end();
  await pass(0.5);
  assert.equal(sockets.length, length + 1);
});

test("a page that is looked at while it connects leaves that alone", async (t) => {
  const page = usePage(t);
  const { rooms, sockets } = start(t);
  await settled();
  await sockets[0].open();
  await page.show("visible");
  await page.tell("offline");
  await pass(5);
  assert.equal(rooms.state, "connecting");
  assert.deepEqual(sockets[0].sent("ping"), []);
});

test("a page that is offline keeps trying, and not too often", async (t) => {
  noLuck(t);
  const page = usePage(t);
  const { rooms, socket, sockets } = await connected(t);
  await page.tell("offline");
  await pass(3);
  assert.equal(rooms.state, "waiting");
  assert.equal(socket.readyState, 3);
  for (let second = 0; second < 120; second++) {
    if (sockets.at(-1).readyState === 0) await sockets.at(-1).end();
    await pass(1);
  }
  assert.ok(sockets.length > 5 && sockets.length < 15, String(sockets.length));
});

test("a connection that outlives being offline goes on", async (t) => {
  const page = usePage(t);
  const { rooms, socket } = await connected(t);
  await page.tell("offline");
  await socket.say({ type: "pong" });
  await pass(5);
  assert.equal(rooms.state, "connected");
});

test("a page that is looked at again asks for a sign of life, with little patience", async (t) => {
  const page = usePage(t);
  const { rooms, socket } = await connected(t);
  await page.show("hidden");
  assert.deepEqual(socket.sent("ping"), []);
  await page.show("visible");
  assert.equal(socket.sent("ping").length, 1);
  await pass(2.9);
  assert.equal(rooms.state, "connected");
  await pass(0.1);
  assert.equal(rooms.state, "waiting");
});

test("a page that is looked at again while it waits connects at once", async (t) => {
  noLuck(t);
  const page = usePage(t);
  const { socket, sockets } = await connected(t, { minDelay: 20 });
  await page.show("hidden");
  await socket.end();
  await page.show("visible");
  assert.equal(sockets.length, 2);
});

test("a page that goes away lets go, and connects anew when it is shown again", async (t) => {
  const page = usePage(t);
  const { rooms, socket, sockets } = await connected(t);
  rooms.join("lobby");
  await settled();
  await socket.admit({ position: "1.a" });
  await page.tell("pagehide", { persisted: true });
  assert.equal(socket.readyState, 3);
  assert.equal(rooms.state, "waiting");
  await pass(60);
  assert.equal(sockets.length, 1);
  await page.tell("pageshow", { persisted: true });
  await sockets[1].connect();
  assert.equal(sockets[1].sent("join")[0].since, "1.a");
});

test("the first time that a page is shown means nothing", async (t) => {
  const page = usePage(t);
  const { socket } = await connected(t);
  await page.tell("pageshow", { persisted: false });
  assert.deepEqual(socket.sent("ping"), []);
});

test("once closed, nothing of the page is listened to", async (t) => {
  const page = usePage(t);
  const { rooms, sockets, states } = await connected(t);
  rooms.close();
  for (const name of ["online", "offline", "pagehide"]) await page.tell(name);
  await page.tell("pageshow", { persisted: true });
  await page.show("visible");
  await pass(60);
  assert.equal(sockets.length, 1);
  assert.deepEqual(states, ["connected", "closed"]);
});
