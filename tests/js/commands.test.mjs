import assert from "node:assert/strict";
import { test } from "node:test";

import { connected, outcome, pass, settled, start } from "./fakes.mjs";

const inLobby = async (t, options) => {
  const all = await connected(t, options);
  const room = all.rooms.join("lobby");
  await settled();
  await all.socket.admit();
  return { ...all, room };
};

test("a command resolves with its reply", async (t) => {
  const { socket, room } = await inLobby(t);
  const seen = outcome(room.send("say", { text: "hello" }));
  await settled();
  const { id, ...frame } = socket.frames.at(-1);
  assert.deepEqual(frame, { type: "send", room: "lobby", command: "say", data: { text: "hello" } });
  await socket.say({ type: "reply", id, data: { user: "ann" } });
  assert.deepEqual(seen.value, { user: "ann" });
});

test("a command without a room, and a message that is published, are asked for alike", async (t) => {
  const { rooms, socket, room } = await inLobby(t);
  const both = outcome(Promise.all([rooms.send("time"), room.publish("typing", { user: "ann" })]));
  await settled();
  const [send, publish] = socket.messages.at(-1);
  assert.deepEqual(send, { type: "send", id: send.id, command: "time", data: null });
  assert.deepEqual(publish, { type: "publish", id: publish.id, room: "lobby", event: "typing", data: { user: "ann" } });
  await socket.say({ type: "reply", id: publish.id, data: null }, { type: "reply", id: send.id, data: 12 });
  assert.deepEqual(both.value, [12, null]);
});

test("an error has the code, the words and the field of the hub", async (t) => {
  const { socket, room } = await inLobby(t);
  const seen = outcome(room.send("say", {}));
  await settled();
  const { id } = socket.frames.at(-1);
  await socket.say({ type: "error", id, code: "invalid", detail: "text: Field required", field: "text" });
  const { code, detail, field, message } = seen.error;
  assert.deepEqual([code, detail, field, message], ["invalid", "text: Field required", "text", "text: Field required"]);
});

test("an error that answers nothing is told", async (t) => {
  const { socket, errors } = await inLobby(t);
  await socket.say({ type: "error", code: "internal" }, { type: "error", id: 12345, code: "refused", detail: "no" });
  assert.deepEqual(errors.map(({ code, message }) => [code, message]), [["internal", "internal"], ["refused", "no"]]);
});

test("data is what it was when it was sent", async (t) => {
  const { socket, room } = await inLobby(t);
  const data = { text: "before" };
  room.send("say", data).catch(() => {});
  data.text = "after";
  await settled();
  assert.equal(socket.frames.at(-1).data.text, "before");
});

test("data that is no JSON rejects, and disturbs nothing", async (t) => {
  const { socket, room } = await inLobby(t);
  const data = {};
  data.data = data;
  const seen = outcome(room.send("say", data));
  await socket.say({ type: "ping" });
  assert.ok(seen.error instanceof TypeError);
  assert.equal(socket.frames.at(-1).type, "pong");
});

test("a command that is not answered is rejected at its deadline, and a late reply is nothing", async (t) => {
  const { rooms, socket, room } = await inLobby(t);
  const [usual, own, never] = [{}, { timeout: 2 }, { timeout: null }].map((options) => outcome(room.send("say", 1, options)));
  await pass(1.9);
  assert.equal(own.error, undefined);
  await pass(0.1);
  assert.equal(own.error.code, "timeout");
  await pass(8);
  assert.equal(usual.error.code, "timeout");
  await socket.say({ type: "reply", id: socket.frames.at(-3).id, data: 1 });
  await pass(20);
  assert.deepEqual(never, {});
  assert.equal(rooms.state, "connected");
});

test("what is sent meanwhile waits for the connection, in order", async (t) => {
  const { rooms, sockets } = start(t);
  const room = rooms.join("lobby");
  for (const number of [1, 2, 3]) room.send("say", number).catch(() => {});
  await settled();
  await sockets[0].open();
  assert.deepEqual(sockets[0].sent("send"), []);
  await sockets[0].connect();
  assert.deepEqual(sockets[0].sent("send").map(({ data }) => data), [1, 2, 3]);
});

test("what waits too long is rejected, and never sent", async (t) => {
  const { rooms, sockets } = start(t, { connectTimeout: 60 });
  const seen = outcome(rooms.send("say", 1));
  await pass(9.9);
  const later = outcome(rooms.send("say", 2));
  await pass(0.1);
  assert.equal(seen.error.code, "timeout");
  await sockets[0].connect();
  assert.deepEqual(sockets[0].sent("send").map(({ data }) => data), [2]);
  assert.deepEqual(later, {});
});

test("so many wait, and more are rejected at once", async (t) => {
  const { rooms, sockets } = start(t, { queue: 3 });
  const seen = [1, 2, 3, 4].map((number) => outcome(rooms.send("say", number)));
  await settled();
  assert.deepEqual(seen.map(({ error }) => error?.code), [undefined, undefined, undefined, "offline"]);
  await sockets[0].connect();
  assert.deepEqual(sockets[0].sent("send").map(({ data }) => data), [1, 2, 3]);
});

test("a hundred wait unless it is said otherwise, and joins are not among them", async (t) => {
  const { rooms } = start(t);
  for (let number = 0; number < 200; number++) rooms.join(`room-${number}`);
  const seen = Array.from({ length: 101 }, () => outcome(rooms.send("say")));
  await settled();
  assert.equal(seen.filter(({ error }) => error?.code === "offline").length, 1);
});

test("while connected many may be sent at once", async (t) => {
  const { rooms, socket } = await connected(t, { queue: 3 });
  for (let number = 0; number < 500; number++) rooms.send("say", number).catch(() => {});
  await settled();
  assert.deepEqual(socket.sent("send").map(({ data }) => data), Array.from({ length: 500 }, (_, number) => number));
});

test("what was sent and not answered is lost with the connection, and not sent again", async (t) => {
  const { socket, sockets, room } = await inLobby(t);
  const seen = outcome(room.send("say", 1));
  await settled();
  await socket.end();
  assert.equal(seen.error.code, "lost");
  const next = outcome(room.send("say", 2));
  await pass(0.5);
  await sockets[1].connect();
  assert.deepEqual(sockets[1].sent("send").map(({ data }) => data), [2]);
  assert.deepEqual(next, {});
});

test("what could not be handed to a socket that is closing is sent by the next", async (t) => {
  const { socket, sockets, room } = await inLobby(t);
  socket.readyState = 2;
  const seen = outcome(room.send("say", 1));
  await settled();
  await socket.end();
  await pass(0.5);
  await sockets[1].connect();
  assert.deepEqual(sockets[1].sent("send").map(({ data }) => data), [1]);
  assert.deepEqual(seen, {});
});

test("closing rejects what waits, and tells no reply any more", async (t) => {
  const { rooms, socket, room } = await inLobby(t);
  const sent = outcome(room.send("say", 1));
  await settled();
  const waiting = outcome(room.send("say", 2));
  rooms.close();
  const late = outcome(rooms.send("say", 3));
  await settled();
  assert.deepEqual([sent, waiting, late].map(({ error }) => error.code), ["lost", "closed", "closed"]);
  assert.equal(socket.readyState, 3);
});
