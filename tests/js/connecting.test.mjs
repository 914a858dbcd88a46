import assert from "node:assert/strict";
import { test } from "node:test";

import { Rooms } from "../../js/rooms.js";
import { connected, pass, settled, start, usePage } from "./fakes.mjs";

test("a socket opens at /websocket with the subprotocol, whatever the scheme and the last slash", async (t) => {
  for (const [given, opened] of [
    ["http://hub.test/live", "ws://hub.test/live/websocket"],
    ["https://hub.test/live/", "wss://hub.test/live/websocket"],
    ["ws://hub.test", "ws://hub.test/websocket"],
    ["wss://hub.test/live?a=b", "wss://hub.test/live/websocket?a=b"],
  ]) {
    const { sockets } = start(t, {}, given);
    await settled();
    assert.equal(sockets[0].url, opened);
    assert.deepEqual(sockets[0].protocols, ["rooms.v1.json"]);
  }
});

test("a relative url is relative to the page, and an error where there is none", async (t) => {
  assert.throws(() => new Rooms("/live"), TypeError);
  usePage(t, "https://app.test/room/1");
  const { sockets } = start(t, {}, "/live");
  await settled();
  assert.equal(sockets[0].url, "wss://app.test/live/websocket");
});

test("the first frame is connect, with the token if there is one", async (t) => {
  for (const [token, sent] of [
    [undefined, { type: "connect", id: 1 }],
    ["t", { type: "connect", id: 1, token: "t" }],
    [() => "u", { type: "connect", id: 1, token: "u" }],
    [async () => "v", { type: "connect", id: 1, token: "v" }],
  ]) {
    const { sockets } = start(t, { token });
    await settled();
    await sockets[0].open();
    assert.deepEqual(sockets[0].messages, [[sent]]);
  }
});

test("states go from connecting over connected and waiting to closed", async (t) => {
  const { rooms, socket, states } = await connected(t);
  assert.equal(rooms.state, "connected");
  await socket.end(1012);
  assert.equal(rooms.state, "waiting");
  await pass(0.5);
  assert.equal(rooms.state, "connecting");
  rooms.close();
  assert.equal(rooms.state, "closed");
  assert.deepEqual(states, ["connected", "waiting", "connecting", "closed"]);
});

test("who we are is known once connected", async (t) => {
  const { rooms } = await connected(t);
  assert.equal(rooms.user, "ann");
  assert.equal(rooms.connection, "c1");
});

test("connect and the joins of all rooms are one message, and commands come once connected", async (t) => {
  const { rooms, sockets } = start(t);
  rooms.join("a");
  rooms.join("b", { since: "7.x" });
  rooms.send("hello").catch(() => {});
  await settled();
  await sockets[0].open();
  assert.deepEqual(sockets[0].messages, [
    [
      { type: "connect", id: 2 },
      { type: "join", id: 3, room: "a" },
      { type: "join", id: 4, room: "b", since: "7.x" },
    ],
  ]);
  await sockets[0].connect();
  assert.deepEqual(sockets[0].messages.slice(-1), [[{ type: "send", id: 1, command: "hello", data: null }]]);
});

test("no message has more than 64 frames", async (t) => {
  const { rooms, sockets } = start(t);
  for (let number = 0; number < 150; number++) rooms.join(`room-${number}`);
  await settled();
  await sockets[0].open();
  assert.deepEqual(sockets[0].messages.map((frames) => frames.length), [64, 64, 23]);
});

test("frames share a message only as long as it is short, and a long one goes alone", async (t) => {
  const { rooms, socket } = await connected(t);
  for (const length of [9_000, 6_000, 9_000, 40_000, 10]) rooms.send("say", "x".repeat(length)).catch(() => {});
  await settled();
  assert.deepEqual(socket.messages.slice(1).map((frames) => frames.map(({ data }) => data.length)), [
    [9_000, 6_000],
    [9_000],
    [40_000],
    [10],
  ]);
});

test("an attempt without an answer is given up after the connect timeout", async (t) => {
  const { rooms, sockets } = start(t, { connectTimeout: 4, minDelay: 0 });
  await pass(3.9);
  await sockets[0].open();
  assert.equal(rooms.state, "connecting");
  await pass(0.1);
  assert.equal(sockets[0].readyState, 3);
  await pass(0.05);
  assert.equal(sockets.length, 2);
});

test("a token function that fails is told of, and asked again", async (t) => {
  let asked = 0;
  const token = async () => {
    if (++asked === 1) throw new Error("no network");
    return "second";
  };
  const { sockets, errors } = start(t, { token });
  await settled();
  assert.equal(errors[0].message, "no network");
  await pass(0.5);
  await sockets[0].open();
  assert.equal(sockets[0].frames[0].token, "second");
});

test("a token function that takes too long is asked again, and its late answer is not used", async (t) => {
  const answers = [];
  const { sockets } = start(t, { token: () => new Promise((resolve) => answers.push(resolve)), connectTimeout: 2 });
  await pass(2.5);
  assert.equal(answers.length, 2);
  answers[0]("late");
  await settled();
  assert.equal(sockets.length, 0);
  answers[1]("good");
  await settled();
  assert.equal(sockets.length, 1);
});

test("a token function that fails after its attempt was given up is nobody's business", async (t) => {
  const answers = [];
  const token = () => new Promise((...how) => answers.push(how));
  const { rooms, sockets, errors } = start(t, { token, connectTimeout: 2 });
  await pass(2.5);
  answers[0][1](new Error("late"));
  await settled();
  assert.deepEqual([rooms.state, errors], ["connecting", []]);
  answers[1][0]("good");
  await settled();
  assert.equal(sockets.length, 1);
});

test("a failure without a listener is a warning", async (t) => {
  const warn = t.mock.method(console, "warn", () => {});
  const rooms = new Rooms("http://hub.test", { token: () => Promise.reject(new Error("no")), WebSocket: class {} });
  await settled();
  rooms.close();
  assert.equal(warn.mock.calls[0].arguments[0].message, "no");
});

test("closing while the token is awaited opens nothing", async (t) => {
  let answer;
  const { rooms, sockets } = start(t, { token: () => new Promise((resolve) => (answer = resolve)) });
  await settled();
  rooms.close();
  answer("t");
  await settled();
  assert.equal(sockets.length, 0);
});

test("a listener of states may close, and that is the end", async (t) => {
  const { rooms, sockets } = start(t);
  rooms.on("state", (state) => state === "waiting" && rooms.close());
  await settled();
  await sockets[0].end();
  await pass(60);
  assert.equal(sockets.length, 1);
  assert.equal(rooms.state, "closed");
});

test("a listener of messages may close, and nothing more of the same message is told", async (t) => {
  const { rooms, socket } = await connected(t);
  const heard = [];
  rooms.on("notice", (data) => heard.push(data) && rooms.close());
  const frames = [1, 2].map((data) => ({ type: "message", event: "notice", data }));
  await socket.say(...frames);
  assert.deepEqual(heard, [1]);
});

test("what is no JSON, or no frame, breaks the connection, and nothing else", async (t) => {
  for (const data of ["{", "null", "[1, null]"]) {
    const { rooms, socket, sockets } = await connected(t);
    socket.onmessage({ data });
    assert.equal(rooms.state, "waiting");
    await pass(0.5);
    assert.equal(sockets.length, 2);
  }
});

test("unknown types, and unknown fields, are ignored", async (t) => {
  const { rooms, socket } = await connected(t);
  await socket.say({ type: "news", id: 99 }, { type: "reply", id: 12345, data: 1 }, { type: "left", id: 7, room: "x" });
  assert.equal(rooms.state, "connected");
});

test("messages without a room have their names to themselves", async (t) => {
  const { rooms, socket, states } = await connected(t);
  const heard = [];
  rooms.on("notice", (data, message) => heard.push(["notice", data, message.event]));
  rooms.on("message:state", (data) => heard.push(["state", data]));
  rooms.on("*", (data) => heard.push(["*", data]));
  await socket.say({ type: "message", event: "notice", data: 1 }, { type: "message", event: "state", data: 2 });
  assert.deepEqual(heard, [["notice", 1, "notice"], ["*", 1], ["state", 2], ["*", 2]]);
  assert.deepEqual(states, ["connected"]);
});

test("a frame without a type is a message, and its event is one by that name if it has none", async (t) => {
  const { rooms, socket } = await connected(t);
  const heard = [];
  rooms.on("*", (data, { event }) => heard.push([event, data]));
  await socket.say({ data: 1 }, { event: "notice", data: 2 });
  assert.deepEqual(heard, [["message", 1], ["notice", 2]]);
});

test("what was dropped is told", async (t) => {
  const { rooms, socket } = await connected(t);
  const dropped = [];
  rooms.on("dropped", ({ messages, bytes }) => dropped.push([messages, bytes]));
  await socket.say({ type: "dropped", messages: 120, bytes: 15360 });
  assert.deepEqual(dropped, [[120, 15360]]);
});

test("a listener that throws is reported, and the others are told", async (t) => {
  const reported = t.mock.method(console, "error", () => {});
  const { rooms, socket } = await connected(t);
  const heard = [];
  rooms.on("notice", () => {
    throw new Error("mine");
  });
  rooms.on("notice", (data) => heard.push(data));
  await socket.say({ type: "message", event: "notice", data: 1 }, { type: "message", event: "notice", data: 2 });
  assert.deepEqual(heard, [1, 2]);
  assert.deepEqual(reported.mock.calls.map((call) => call.arguments[0].message), ["mine", "mine"]);
});

test("a subscription ends by what on() gave, or by off()", async (t) => {
  const { rooms, socket } = await connected(t);
  const heard = [];
  const listener = (data) => heard.push(data);
  const stop = rooms.on("notice", listener);
  await socket.say({ type: "message", event: "notice", data: 1 });
  stop();
  rooms.on("notice", listener);
  rooms.off("notice", listener);
  rooms.off("never", listener);
  await socket.say({ type: "message", event: "notice", data: 2 });
  assert.deepEqual(heard, [1]);
});
