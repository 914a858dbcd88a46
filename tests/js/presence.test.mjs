import assert from "node:assert/strict";
import { test } from "node:test";

import { connected, outcome, pass, settled } from "./fakes.mjs";

const tab = (id, metadata = {}) => ({ id, metadata });

const snapshot = (version, users, extra = {}) => {
  const count = Object.keys(users).length;
  return { type: "presence", room: "lobby", version, count, listed: true, users, ...extra };
};

const diff = (version, count, changes, extra = {}) => {
  const nothing = { joins: {}, leaves: {}, updates: {} };
  return { type: "presence-diff", room: "lobby", version, count, listed: true, ...nothing, ...changes, ...extra };
};

const inLobby = async (t) => {
  const all = await connected(t);
  const room = all.rooms.join("lobby");
  const told = [];
  const { presence } = room;
  presence.on("change", (users) => told.push(["change", Object.keys(users)]));
  for (const what of ["join", "leave", "update"]) presence.on(what, (user, tabs) => told.push([what, user, tabs]));
  await settled();
  await all.socket.admit({ presence: true });
  return { ...all, room, presence, told };
};

test("who is there is known by the snapshot, and nobody comes by it", async (t) => {
  const { socket, presence, told } = await inLobby(t);
  assert.deepEqual([presence.count, presence.listed, { ...presence.users }], [0, false, {}]);
  await socket.say(snapshot(7, { ann: [tab("1", { typing: false })] }));
  assert.deepEqual([presence.count, presence.listed], [1, true]);
  assert.deepEqual({ ...presence.users }, { ann: [tab("1", { typing: false })] });
  assert.deepEqual(told, [["change", ["ann"]]]);
});

test("diffs say who comes, goes, and is otherwise than before", async (t) => {
  const { socket, presence, told } = await inLobby(t);
  await socket.say(snapshot(7, { ann: [tab("1")], bob: [tab("2")] }));
  const before = presence.users;
  await socket.say(diff(8, 2, {
    joins: { cid: [tab("3")] },
    leaves: { bob: [tab("2")] },
    updates: { ann: [tab("1", { typing: true })] },
  }));
  assert.deepEqual({ ...presence.users }, { ann: [tab("1", { typing: true })], cid: [tab("3")] });
  assert.notEqual(presence.users, before);
  assert.equal(presence.count, 2);
  assert.deepEqual(told.slice(1), [
    ["update", "ann", [tab("1", { typing: true })]],
    ["leave", "bob", [tab("2")]],
    ["join", "cid", [tab("3")]],
    ["change", ["ann", "cid"]],
  ]);
});

test("a diff that is old is ignored", async (t) => {
  const { socket, presence, told } = await inLobby(t);
  await socket.say(diff(9, 1, { joins: { eve: [tab("9")] } }));
  await socket.say(snapshot(7, { ann: [tab("1")] }));
  await socket.say(diff(7, 0, { leaves: { ann: [tab("1")] } }), diff(6, 2, { joins: { bob: [tab("2")] } }));
  await socket.say(diff(8, 2, { joins: { cid: [tab("3")] } }), diff(8, 1, { leaves: { cid: [tab("3")] } }));
  assert.deepEqual(Object.keys(presence.users), ["ann", "cid"]);
  assert.equal(told.filter(([what]) => what === "change").length, 2);
});

test("after a reconnect the versions begin anew, and what has changed meanwhile is told", async (t) => {
  const { socket, sockets, presence, told } = await inLobby(t);
  await socket.say(snapshot(70, { ann: [tab("1")], bob: [tab("2")], cid: [tab("3")] }));
  await socket.end();
  assert.deepEqual(Object.keys(presence.users), ["ann", "bob", "cid"]);
  await pass(0.5);
  await sockets[1].connect();
  await sockets[1].admit({ presence: true });
  await sockets[1].say(diff(80, 9, { joins: { old: [tab("9")] } }));
  await sockets[1].say(snapshot(2, { ann: [tab("4")], cid: [tab("3")], dot: [tab("5")] }));
  await sockets[1].say(diff(3, 2, { leaves: { dot: [tab("5")] } }));
  assert.deepEqual(told.slice(1), [
    ["update", "ann", [tab("4")]],
    ["leave", "bob", [tab("2")]],
    ["join", "dot", [tab("5")]],
    ["change", ["ann", "cid", "dot"]],
    ["leave", "dot", [tab("5")]],
    ["change", ["ann", "cid"]],
  ]);
});

test("where they are too many only the count is told, and nobody has gone by that", async (t) => {
  const { socket, presence, told } = await inLobby(t);
  await socket.say(snapshot(1, { ann: [tab("1")] }));
  await socket.say(diff(2, 1001, {}, { listed: false }));
  assert.deepEqual([{ ...presence.users }, presence.count, presence.listed], [{}, 1001, false]);
  await socket.say(diff(3, 2, { joins: { ann: [tab("1")], bob: [tab("2")] } }));
  assert.deepEqual(Object.keys(presence.users), ["ann", "bob"]);
  assert.deepEqual(told, [["change", ["ann"]], ["change", []], ["change", ["ann", "bob"]]]);
});

test("users may be named as parts of objects are", async (t) => {
  const { socket, presence, told } = await inLobby(t);
  await socket.say(snapshot(1, {}));
  const users = JSON.parse('{"__proto__": [{"id": "1", "metadata": {}}], "constructor": [{"id": "2", "metadata": {}}]}');
  await socket.say(diff(2, 2, { joins: users }));
  assert.deepEqual(Object.keys(presence.users), ["__proto__", "constructor"]);
  assert.deepEqual(told.filter(([what]) => what === "join").map(([, user]) => user), ["__proto__", "constructor"]);
  await socket.say(diff(3, 0, { leaves: users }));
  assert.deepEqual(Object.keys(presence.users), []);
  assert.deepEqual(told.filter(([what]) => what === "leave").map(([, user]) => user), ["__proto__", "constructor"]);
});

test("metadata is told, and resolves when the hub has it", async (t) => {
  const { socket, presence } = await inLobby(t);
  const seen = outcome(presence.update({ typing: true }));
  await settled();
  const { id, ...frame } = socket.frames.at(-1);
  assert.deepEqual(frame, { type: "presence", room: "lobby", metadata: { typing: true } });
  await socket.say({ type: "reply", id });
  assert.ok("value" in seen);
});

test("metadata that the hub refuses rejects", async (t) => {
  const { socket, presence } = await inLobby(t);
  const seen = outcome(presence.update({ much: "x" }));
  await settled();
  await socket.say({ type: "error", id: socket.frames.at(-1).id, code: "too_large" });
  assert.equal(seen.error.code, "too_large");
});

test("metadata that the hub refuses is not told again, unless it was other metadata", async (t) => {
  const { socket, sockets, presence } = await inLobby(t);
  const toldAgain = async (before, connection) => {
    await before.end();
    await pass(1);
    await sockets[connection].open();
    return sockets[connection].sent("presence").map(({ metadata }) => metadata);
  };
  const refused = outcome(presence.update({ much: "x" }));
  await settled();
  const { id } = socket.frames.at(-1);
  outcome(presence.update({ page: 1 }));
  await socket.say({ type: "error", id, code: "too_large", detail: "" });
  assert.equal(refused.error.code, "too_large");
  assert.deepEqual(await toldAgain(socket, 1), [{ page: 1 }]);
  await sockets[1].connect();
  outcome(presence.update({ much: "x" }));
  await settled();
  await sockets[1].say({ type: "error", id: sockets[1].frames.at(-1).id, code: "too_large", detail: "" });
  assert.deepEqual(await toldAgain(sockets[1], 2), []);
});

test("metadata that was told is told again with each join, as it was", async (t) => {
  const { socket, sockets, rooms, presence } = await inLobby(t);
  const metadata = { page: 1 };
  const sent = presence.update(metadata);
  metadata.page = 2;
  await settled();
  await socket.end();
  await assert.rejects(sent, { code: "lost" });
  await pass(0.5);
  await sockets[1].open();
  assert.deepEqual(sockets[1].messages[0].slice(1).map(({ type, id, metadata }) => [type, typeof id, metadata]), [
    ["join", "number", undefined],
    ["presence", "undefined", { page: 1 }],
  ]);
  rooms.close();
});

test("metadata that is told while there is no connection is told with the next join, once", async (t) => {
  const { socket, sockets, presence } = await inLobby(t);
  await socket.end();
  await presence.update({ page: 1 });
  await presence.update({ page: 2 });
  await pass(0.5);
  await sockets[1].connect();
  await sockets[1].admit();
  assert.deepEqual(sockets[1].sent("presence").map(({ metadata }) => metadata), [{ page: 2 }]);
});

test("metadata that is no JSON is the caller's mistake, and is not told again", async (t) => {
  const { socket, sockets, rooms, presence } = await inLobby(t);
  assert.throws(() => presence.update({ big: 1n }), TypeError);
  await socket.end();
  await pass(0.5);
  await sockets[1].connect();
  assert.equal(rooms.state, "connected");
});
