import assert from "node:assert/strict";
import { test } from "node:test";

import { RoomsError } from "../../js/rooms.js";
import { connected, noLuck, outcome, pass, settled, start } from "./fakes.mjs";

const said = (data, position, event = "said", room = "lobby") => ({ type: "message", room, event, data, position });

/** All that a room tells, in order. */
const listen = (room) => {
  const heard = [];
  room.on("joined", (joined) => heard.push({ joined }));
  room.on("left", (error) => heard.push({ left: error?.code }));
  room.on("said", (data, { position }) => heard.push([data, position]));
  return heard;
};

const inLobby = async (t, joined = {}, options) => {
  const all = await connected(t, options);
  const room = all.rooms.join("lobby");
  const heard = listen(room);
  await settled();
  await all.socket.admit(joined);
  return { ...all, room, heard };
};

test("the same name gives the same room, until it is left", async (t) => {
  const { rooms } = await connected(t);
  const room = rooms.join("lobby");
  assert.equal(rooms.join("lobby"), room);
  room.leave();
  assert.notEqual(rooms.join("lobby"), room);
});

test("joining resolves with where it begins", async (t) => {
  const { room } = await inLobby(t, { position: "19.a" });
  assert.deepEqual({ ...(await room.joined) }, { position: "19.a", recovered: undefined, reason: undefined, again: false });
  assert.equal(room.position, "19.a");
});

test("messages before joined are told after it, in order", async (t) => {
  const { rooms, socket } = await connected(t);
  const room = rooms.join("lobby", { since: "17.a" });
  const heard = listen(room);
  await settled();
  const [{ id, since }] = socket.sent("join");
  assert.equal(since, "17.a");
  await socket.say(said("one", "18.a"), said("two", "19.a"), said("three", "20.a"));
  assert.deepEqual(heard, []);
  await socket.say({ type: "joined", id, room: "lobby", position: "19.a", recovered: true });
  await socket.say(said("four", "21.a"));
  assert.deepEqual(heard, [
    { joined: { position: "19.a", recovered: true, reason: undefined, again: false } },
    ["one", "18.a"],
    ["two", "19.a"],
    ["three", "20.a"],
    ["four", "21.a"],
  ]);
  assert.equal(room.position, "21.a");
});

test("who keeps the position at each message never keeps one that is ahead", async (t) => {
  const { rooms, socket } = await connected(t);
  const room = rooms.join("lobby", { since: "17.a" });
  const kept = [];
  room.on("joined", () => kept.push(room.position));
  room.on("said", () => kept.push(room.position));
  await settled();
  const [{ id }] = socket.sent("join");
  await socket.say(said("one", "18.a"), said("two", "19.a"), { type: "joined", id, room: "lobby", position: "19.a" });
  assert.deepEqual(kept, ["17.a", "18.a", "19.a"]);
});

test("a room is joined again with its position after a reconnect", async (t) => {
  const { socket, sockets, room, heard } = await inLobby(t, { position: "19.a" });
  await socket.say(said("one", "20.a"));
  await socket.end();
  await pass(0.5);
  await sockets[1].connect();
  assert.deepEqual(sockets[1].sent("join").map(({ since }) => since), ["20.a"]);
  await sockets[1].say(said("two", "21.a"));
  await sockets[1].admit({ position: "21.a", recovered: true });
  assert.deepEqual(heard.slice(1), [
    ["one", "20.a"],
    { joined: { position: "21.a", recovered: true, reason: undefined, again: true } },
    ["two", "21.a"],
  ]);
  assert.equal((await room.joined).again, false);
});

test("what was held back when the connection broke is not told, and asked for again", async (t) => {
  const { rooms, socket, sockets } = await connected(t);
  const heard = listen(rooms.join("lobby", { since: "17.a" }));
  await settled();
  await socket.say(said("one", "18.a"));
  await socket.end();
  await pass(0.5);
  await sockets[1].connect();
  assert.equal(sockets[1].sent("join")[0].since, "17.a");
  await sockets[1].say(said("one", "18.a"));
  await sockets[1].admit({ position: "18.a", recovered: true });
  assert.deepEqual(heard.slice(1), [["one", "18.a"]]);
});

test("a position that is good no more is replaced", async (t) => {
  const { socket, sockets, room, heard } = await inLobby(t, { position: "19.a" });
  await socket.end();
  await pass(0.5);
  await sockets[1].connect();
  await sockets[1].admit({ position: "1.b", recovered: false, reason: "epoch_changed" });
  assert.deepEqual(heard.at(-1).joined, { position: "1.b", recovered: false, reason: "epoch_changed", again: true });
  assert.equal(room.position, "1.b");
});

test("messages have names that ours do not take", async (t) => {
  const { socket, room, heard } = await inLobby(t);
  const names = [];
  for (const name of ["joined", "left", "*", "message:said", "said"]) {
    room.on(`message:${name}`, (data, message) => names.push([name, message.event, data]));
  }
  const all = [];
  room.on("*", (data, { event }) => all.push(event));
  for (const name of ["joined", "left", "*", "message:said", "said"]) await socket.say(said(1, undefined, name));
  assert.deepEqual(names, [["joined", "joined", 1], ["left", "left", 1], ["*", "*", 1], ["message:said", "message:said", 1], ["said", "said", 1]]);
  assert.deepEqual(all, ["joined", "left", "*", "message:said", "said"]);
  assert.equal(heard.length, 2);
});

test("names that objects have are names like others", async (t) => {
  const { socket, rooms } = await connected(t);
  const room = rooms.join("__proto__");
  const heard = [];
  room.on("toString", (data) => heard.push(data));
  room.on("__proto__", (data) => heard.push(data));
  await settled();
  await socket.admit();
  await socket.say(said(1, undefined, "toString", "__proto__"), said(2, undefined, "__proto__", "__proto__"));
  assert.deepEqual(heard, [1, 2]);
});

test("leaving says so, and what comes afterwards is not told", async (t) => {
  const { socket, room, heard } = await inLobby(t);
  room.leave();
  room.leave();
  await settled();
  assert.deepEqual(socket.sent("leave").map((frame) => frame.room), ["lobby"]);
  await socket.say(said("late"));
  assert.deepEqual(heard.slice(1), [{ left: undefined }]);
});

test("a room that is left while there is no connection is not joined again", async (t) => {
  const { socket, sockets, room } = await inLobby(t);
  await socket.end();
  room.leave();
  await pass(0.5);
  await sockets[1].connect();
  assert.deepEqual(sockets[1].sent("join"), []);
  assert.deepEqual(sockets[1].sent("leave"), []);
});

test("what is of the time before a room was left and joined anew is not told to who joined anew", async (t) => {
  const { socket, rooms, room } = await inLobby(t);
  room.leave();
  const heard = listen(rooms.join("lobby"));
  await settled();
  await socket.say(said("old"), { type: "left", id: socket.sent("leave")[0].id, room: "lobby" });
  await socket.say(said("new"), { type: "joined", id: socket.sent("join")[1].id, room: "lobby" });
  assert.deepEqual(heard.slice(1), [["new", undefined]]);
});

test("the answer to a join that was left again is not taken for that of the next", async (t) => {
  const { socket, rooms } = await connected(t);
  const former = rooms.join("lobby");
  const nothing = listen(former);
  former.leave();
  const heard = listen(rooms.join("lobby"));
  await settled();
  const [first, second] = socket.sent("join");
  await socket.say({ type: "joined", id: first.id, room: "lobby" }, said("old"));
  await socket.say({ type: "left", id: socket.sent("leave")[0].id, room: "lobby" });
  assert.deepEqual(heard, []);
  await socket.say({ type: "joined", id: second.id, room: "lobby" }, said("new"));
  assert.deepEqual(heard.slice(1), [["new", undefined]]);
  assert.deepEqual(nothing, [{ left: undefined }]);
});

test("a refusal that comes after the room was left is nobody's business", async (t) => {
  const { socket, rooms, errors } = await connected(t);
  const room = rooms.join("secret");
  const heard = listen(room);
  await settled();
  room.leave();
  await socket.say({ type: "error", id: socket.sent("join")[0].id, code: "refused" });
  assert.deepEqual([heard, errors], [[{ left: undefined }], []]);
});

test("a room that is left before the connection is there is not heard of", async (t) => {
  const { rooms, sockets } = start(t);
  await settled();
  rooms.join("lobby").leave();
  await sockets[0].connect();
  assert.deepEqual(sockets[0].frames.map(({ type }) => type), ["connect"]);
});

test("a membership that ended before ours began is not ours", async (t) => {
  const { socket, rooms, room } = await inLobby(t);
  room.leave();
  const heard = listen(rooms.join("lobby"));
  await settled();
  await socket.say({ type: "left", room: "lobby" });
  await socket.say({ type: "joined", id: socket.sent("join")[1].id, room: "lobby" }, said("new"));
  assert.deepEqual(heard.slice(1), [["new", undefined]]);
});

test("where live messages begin is known though what was held back has no position", async (t) => {
  const { rooms, socket } = await connected(t);
  const room = rooms.join("lobby");
  await settled();
  await socket.say(said("one"), { type: "joined", id: socket.sent("join")[0].id, room: "lobby", position: "1.a" });
  assert.equal(room.position, "1.a");
});

test("a message without a position does not change ours", async (t) => {
  const { socket, room } = await inLobby(t, { position: "1.a" });
  await socket.say(said("one"));
  assert.equal(room.position, "1.a");
});

test("a membership that the server ends is over", async (t) => {
  const { socket, sockets, room, heard } = await inLobby(t);
  await socket.say({ type: "left", room: "lobby" }, said("late"));
  assert.deepEqual(heard.slice(1), [{ left: "removed" }]);
  await socket.end();
  await pass(0.5);
  await sockets[1].connect();
  assert.deepEqual(sockets[1].sent("join"), []);
  assert.equal((await room.joined).again, false);
});

test("a join that is refused rejects with the hub's error, and tells it", async (t) => {
  const { rooms, socket, errors } = await connected(t);
  const room = rooms.join("secret");
  const heard = listen(room);
  await settled();
  await socket.say({ type: "error", id: socket.sent("join")[0].id, code: "refused", detail: "not yours" });
  await assert.rejects(room.joined, (error) => {
    assert.ok(error instanceof RoomsError && error instanceof Error);
    assert.deepEqual([error.name, error.code, error.detail, error.message], ["RoomsError", "refused", "not yours", "not yours"]);
    return true;
  });
  assert.deepEqual(heard, [{ left: "refused" }]);
  assert.deepEqual(errors.map(({ code }) => code), ["refused"]);
  assert.notEqual(rooms.join("secret"), room);
});

test("a room that is unavailable is tried again, later and later, also after a reconnect", async (t) => {
  noLuck(t);
  const { rooms, socket, sockets, errors } = await connected(t);
  const room = rooms.join("lobby");
  await settled();
  const refuse = (at) => at.say({ type: "error", id: at.sent("join").at(-1).id, code: "unavailable" });
  await refuse(socket);
  await pass(0.45);
  assert.equal(socket.sent("join").length, 1);
  await pass(0.05);
  assert.equal(socket.sent("join").length, 2);
  await refuse(socket);
  await pass(0.95);
  assert.equal(socket.sent("join").length, 2);
  await socket.end();
  await pass(0.5);
  await sockets[1].connect();
  await sockets[1].admit({ position: "1.a" });
  assert.equal((await room.joined).position, "1.a");
  assert.deepEqual(errors.map(({ code }) => code), ["unavailable", "unavailable"]);
  await pass(20);
  assert.equal(socket.sent("join").length, 2);
  assert.equal(sockets[1].sent("join").length, 1);
});

test("a room that was available in between is tried as soon as at first", async (t) => {
  noLuck(t);
  const { rooms, socket, sockets } = await connected(t);
  rooms.join("lobby");
  await settled();
  for (const wait of [0.5, 1, 2]) {
    await socket.say({ type: "error", id: socket.sent("join").at(-1).id, code: "unavailable" });
    await pass(wait);
  }
  await socket.admit();
  await socket.end();
  await pass(0.5);
  await sockets[1].connect();
  await sockets[1].say({ type: "error", id: sockets[1].sent("join")[0].id, code: "unavailable" });
  await pass(0.5);
  assert.equal(sockets[1].sent("join").length, 2);
});

test("a room that was left is not tried again", async (t) => {
  const { rooms, socket } = await connected(t);
  const room = rooms.join("lobby");
  await settled();
  await socket.say({ type: "error", id: socket.sent("join")[0].id, code: "unavailable" });
  room.leave();
  await pass(5);
  assert.equal(socket.sent("join").length, 1);
});

test("leaving before the join is answered rejects it", async (t) => {
  const { rooms } = await connected(t);
  const room = rooms.join("lobby");
  const seen = outcome(room.joined);
  room.leave();
  await settled();
  assert.equal(seen.error.code, "closed");
});

test("a closed connection takes no more rooms, and says so", async (t) => {
  const { rooms, room, heard } = await inLobby(t);
  rooms.close();
  assert.deepEqual(heard.slice(1), [{ left: undefined }]);
  await assert.rejects(rooms.join("other").joined, { code: "closed" });
  await assert.rejects(room.send("say"), { code: "closed" });
});

test("a room can be read as a stream, until it is left", async (t) => {
  const { socket, room } = await inLobby(t);
  const read = [];
  const reading = (async () => {
    for await (const { event, data, position } of room) read.push([event, data, position]);
  })();
  await settled();
  await socket.say(said("one", "1.a"), said("two", "2.a"));
  assert.deepEqual(read, [["said", "one", "1.a"], ["said", "two", "2.a"]]);
  await socket.say(said("three", "3.a"));
  room.leave();
  await reading;
  assert.equal(read.length, 3);
  for await (const _ of room) assert.fail();
});

test("reading a room goes on over a reconnect, and ends with the connection", async (t) => {
  const { rooms, socket, sockets, room } = await inLobby(t);
  const read = [];
  const reading = (async () => {
    for await (const { data } of room) read.push(data);
  })();
  await socket.say(said("one"));
  await socket.end();
  await pass(0.5);
  await sockets[1].connect();
  await sockets[1].admit();
  await sockets[1].say(said("two"));
  rooms.close();
  await reading;
  assert.deepEqual(read, ["one", "two"]);
});

test("reading a room throws what the server ended it with", async (t) => {
  const { socket, room } = await inLobby(t);
  const seen = outcome(room[Symbol.asyncIterator]().next());
  await socket.say({ type: "left", room: "lobby" });
  assert.equal(seen.error.code, "removed");
});

test("reading a room that was refused throws why", async (t) => {
  const { rooms, socket } = await connected(t);
  const seen = outcome(rooms.join("secret")[Symbol.asyncIterator]().next());
  await settled();
  await socket.say({ type: "error", id: socket.sent("join")[0].id, code: "forbidden" });
  assert.equal(seen.error.code, "forbidden");
});

test("who reads too slowly gets what there was room for, and then an error instead of a gap", async (t) => {
  const { socket, room } = await inLobby(t);
  const iterator = room[Symbol.asyncIterator]();
  const first = iterator.next();
  await settled();
  await socket.say(said(0));
  assert.equal((await first).value.data, 0);
  for (let number = 1; number <= 1_500; number++) socket.onmessage({ data: JSON.stringify(said(number)) });
  let last;
  await assert.rejects(async () => {
    for await (const { data } of iterator) last = data;
  }, { code: "overflow" });
  assert.equal(last, 1_001);
});

test("who stops reading is told nothing more", async (t) => {
  const { socket, room } = await inLobby(t);
  await Promise.all([
    (async () => {
      for await (const { data } of room) if (data === 1) break;
    })(),
    settled().then(() => socket.say(said(1), said(2))),
  ]);
  const seen = outcome(room[Symbol.asyncIterator]().next());
  await settled();
  await socket.say(said(3));
  assert.equal(seen.value.value.data, 3);
});

test("a listener that leaves gets nothing more of what was held back", async (t) => {
  const { rooms, socket } = await connected(t);
  const room = rooms.join("lobby");
  const heard = [];
  room.on("said", (data) => heard.push(data) && room.leave());
  await settled();
  await socket.say(said(1), said(2), { type: "joined", id: socket.sent("join")[0].id, room: "lobby" });
  assert.deepEqual(heard, [1]);
});

test("a listener that closes gets nothing more of the same message", async (t) => {
  const { rooms, socket, room } = await inLobby(t);
  const heard = [];
  room.on("said", (data) => heard.push(data) && rooms.close());
  await socket.say(said(1), said(2));
  assert.deepEqual(heard, [1]);
});

test("rooms that are joined before there is a connection are joined with it", async (t) => {
  const { rooms, sockets } = start(t);
  rooms.join("early");
  await settled();
  await sockets[0].open();
  rooms.join("late");
  await settled();
  assert.deepEqual(sockets[0].messages.map((frames) => frames.map(({ room }) => room)), [[undefined, "early"], ["late"]]);
});
