import assert from "node:assert/strict";
import { test } from "node:test";

import { connected, pass, settled } from "./fakes.mjs";

const NOW = 1_700_000_000;

const jwt = (claims) => {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString("base64url");
  return `${encode({ alg: "none" })}.${encode(claims)}.sig`;
};

/** Connected with the first of these tokens; the last is given again and again. */
const withTokens = async (t, ...tokens) => {
  let asked = 0;
  const all = await connected(t, { token: () => tokens[Math.min(asked++, tokens.length - 1)] }, { heartbeat: null });
  return { ...all, asked: () => asked };
};

test("a fresh token is sent at 80 % of the life of a JWT, and then of what the hub says", async (t) => {
  const { socket } = await withTokens(t, jwt({ exp: NOW + 100, name: "Zoë??>>" }), "second", "third");
  await pass(79.9);
  assert.deepEqual(socket.sent("refresh"), []);
  await pass(0.1);
  const [{ id, ...frame }] = socket.sent("refresh");
  assert.deepEqual(frame, { type: "refresh", token: "second" });
  await socket.say({ type: "reply", id, data: { expires_in: 50 } });
  await pass(39.9);
  assert.equal(socket.sent("refresh").length, 1);
  await pass(0.1);
  assert.equal(socket.sent("refresh")[1].token, "third");
});

test("a clock that is wrong makes it early, and never late", async (t) => {
  const behind = await withTokens(t, jwt({ iat: NOW + 3_600, exp: NOW + 3_700 }));
  await pass(80);
  assert.equal(behind.socket.sent("refresh").length, 1);
  const ahead = await withTokens(t, jwt({ iat: NOW - 3_600, exp: NOW - 3_500 }));
  await pass(8);
  assert.equal(ahead.socket.sent("refresh").length, 1);
});

test("a token that does not expire any more is not refreshed any more", async (t) => {
  const { socket, asked } = await withTokens(t, jwt({ exp: NOW + 100 }), "second");
  await pass(80);
  await socket.say({ type: "reply", id: socket.sent("refresh")[0].id, data: { expires_in: null } });
  await pass(60);
  assert.equal(asked(), 2);
});

test("a token that never expires, or says nothing, is not refreshed", async (t) => {
  for (const token of [jwt({ sub: "ann" }), "opaque", "a.b.c", undefined]) {
    const { socket, asked } = await withTokens(t, token);
    await pass(600);
    assert.deepEqual([socket.sent("refresh").length, asked()], [0, 1]);
  }
});

test("a token of years is not refreshed at once", async (t) => {
  const { socket } = await withTokens(t, jwt({ exp: NOW + 1e9 }));
  await pass(60);
  assert.deepEqual(socket.sent("refresh"), []);
});

test("a token that is no function's is not refreshed", async (t) => {
  const { socket } = await connected(t, { token: jwt({ exp: NOW + 100 }) }, { heartbeat: null });
  await pass(100);
  assert.deepEqual(socket.sent("refresh"), []);
});

test("a refresh that fails is told, and the connection goes on for as long as it may", async (t) => {
  const { rooms, socket, errors } = await withTokens(t, jwt({ exp: NOW + 100 }), "bad");
  await pass(80);
  await socket.say({ type: "error", id: socket.sent("refresh")[0].id, code: "unauthorized" });
  assert.deepEqual(errors.map(({ code }) => code), ["unauthorized"]);
  assert.equal(rooms.state, "connected");
});

test("a refresh ends with its connection, and is nobody's business then", async (t) => {
  const { socket, sockets, errors } = await withTokens(t, jwt({ exp: NOW + 100 }), "second");
  await pass(80);
  await socket.end();
  await pass(0.5);
  await sockets[1].connect();
  assert.deepEqual(sockets[1].sent("refresh"), []);
  assert.deepEqual(errors, []);
});

test("a token that comes after the connection has ended is not sent on the next", async (t) => {
  const first = jwt({ exp: NOW + 100 });
  let asked = 0;
  let answer;
  const token = () => [() => first, () => new Promise((resolve) => (answer = resolve)), () => "next"][asked++]();
  const { socket, sockets, errors } = await connected(t, { token }, { heartbeat: null });
  await pass(80);
  await socket.end();
  await pass(0.5);
  await sockets[1].connect();
  answer("late");
  await settled();
  assert.deepEqual(sockets[1].frames.map(({ type, token }) => [type, token]), [["connect", "next"]]);
  assert.deepEqual(errors, []);
});
