import assert from "node:assert/strict";
import { test } from "node:test";

import { CONNECTED, FakeStreams, noLuck, outcome, pass, settled, start } from "./fakes.mjs";

const streaming = async (t, options = {}) => {
  const hub = new FakeStreams();
  const all = start(t, { transport: "sse", fetch: hub.fetch, ...options });
  await settled();
  return { ...all, hub, stream: hub.streams[0] };
};

const connected = async (t, options) => {
  const all = await streaming(t, options);
  await all.stream.connect();
  return all;
};

const notice = (data) => ({ type: "message", event: "notice", data });

test("a session begins with its stream, and what is said goes up by POST, numbered", async (t) => {
  const { rooms, hub, stream } = await streaming(t, { token: "t" });
  rooms.join("lobby");
  assert.equal(stream.url, "http://hub.test/live/sse");
  assert.deepEqual(hub.posts, []);
  await stream.say({ type: "session", session: "s1" });
  const frames = [{ type: "connect", id: 1, token: "t" }, { type: "join", id: 2, room: "lobby" }];
  assert.deepEqual(hub.posts, [{ url: stream.url, session: "s1", number: 1, frames }]);
  await stream.say({ ...CONNECTED, id: 1 }, { type: "joined", id: 2, room: "lobby" });
  assert.equal(rooms.state, "connected");
  const seen = outcome(rooms.send("say", 1));
  await settled();
  assert.deepEqual([hub.posts[1].number, hub.posts[1].frames[0].command], [2, "say"]);
  await stream.say({ type: "reply", id: 3, data: "done" });
  assert.equal(seen.value, "done");
});

test("a url with the scheme of WebSockets is asked over HTTP", async (t) => {
  const hub = new FakeStreams();
  start(t, { transport: "sse", fetch: hub.fetch }, "wss://hub.test/live");
  await settled();
  assert.equal(hub.streams[0].url, "https://hub.test/live/sse");
});

test("one request is under way at a time, and what is said meanwhile goes with the next", async (t) => {
  const { rooms, hub } = await connected(t);
  let answer;
  hub.answer = () => new Promise((resolve) => (answer = () => resolve({ status: 204 })));
  for (let number = 0; number < 100; number++) {
    rooms.send("say", number).catch(() => {});
    await settled();
  }
  assert.deepEqual(hub.posts.slice(1).map(({ frames }) => frames.length), [1]);
  for (const count of [64, 35]) {
    answer();
    await settled();
    await settled();
    assert.equal(hub.posts.at(-1).frames.length, count);
  }
  assert.deepEqual(hub.posts.map(({ number }) => number), [1, 2, 3, 4]);
  assert.deepEqual(hub.posts.slice(1).flatMap(({ frames }) => frames.map(({ data }) => data)), Array.from({ length: 100 }, (_, n) => n));
});

test("a request that was not taken, or not answered, is sent again as it was", async (t) => {
  noLuck(t);
  for (const bad of [{ status: 503 }, { status: 429 }, { status: 502 }, new TypeError("network")]) {
    const { rooms, hub } = await connected(t);
    hub.answer = (_, count) => (count < 4 ? bad : { status: 204 });
    rooms.send("say", 1).catch(() => {});
    await settled();
    rooms.send("say", 2).catch(() => {});
    assert.equal(hub.posts.length, 2);
    await pass(0.5);
    assert.equal(hub.posts.length, 3);
    await pass(1);
    assert.deepEqual(hub.posts[2], hub.posts[1]);
    assert.deepEqual(hub.posts[3], hub.posts[1]);
    assert.deepEqual(hub.posts[4].frames.map(({ data }) => data), [2]);
    assert.equal(rooms.state, "connected");
  }
});

test("it waits for as long as the answer says, where that is longer", async (t) => {
  noLuck(t);
  for (const [header, seconds] of [["7", 7], ["0", 0.5], ["Wed, 21 Oct 2099 07:28:00 GMT", 0.5]]) {
    const { rooms, hub } = await connected(t);
    hub.answer = (_, count) => (count < 3 ? { status: 503, headers: { "retry-after": header } } : { status: 204 });
    rooms.send("say", 1).catch(() => {});
    await pass(seconds - 0.05);
    assert.equal(hub.posts.length, 2, header);
    await pass(0.05);
    assert.equal(hub.posts.length, 3, header);
  }
});

test("a request that hangs is given up, and sent again", async (t) => {
  noLuck(t);
  const { rooms, hub } = await connected(t, { connectTimeout: 4 });
  hub.answer = (_, count) => (count < 3 ? new Promise(() => {}) : { status: 204 });
  rooms.send("say", 1).catch(() => {});
  await pass(4.4);
  assert.equal(hub.posts.length, 2);
  await pass(0.1);
  assert.deepEqual(hub.posts[2], hub.posts[1]);
});

test("the time that a request has is its own", async (t) => {
  const { rooms, hub } = await connected(t, { connectTimeout: 4 });
  await pass(3.5);
  let answer;
  hub.answer = () => new Promise((resolve) => (answer = () => resolve({ status: 204 })));
  rooms.send("say", 1).catch(() => {});
  await pass(3);
  answer();
  await pass(5);
  assert.equal(hub.posts.length, 2);
});

test("a session that is no more, or has a gap, is begun anew, counting from one", async (t) => {
  for (const status of [404, 409, 403, 400, 422]) {
    const { rooms, hub, stream } = await connected(t);
    hub.answer = (_, count) => ({ status: count === 2 ? status : 204 });
    const seen = outcome(rooms.send("say", 1));
    await settled();
    await settled();
    assert.equal(seen.error.code, "lost");
    assert.equal(rooms.state, "waiting");
    assert.ok(stream.signal.aborted);
    await pass(0.5);
    await hub.streams[1].connect();
    assert.deepEqual([hub.posts.at(-1).session, hub.posts.at(-1).number], ["s2", 1]);
    assert.equal(rooms.state, "connected");
  }
});

test("what is too long ends it, as on a socket", async (t) => {
  const { rooms, hub, closes } = await connected(t);
  hub.answer = () => ({ status: 413 });
  rooms.send("say", 1).catch(() => {});
  await settled();
  await settled();
  assert.deepEqual(closes, [{ code: 1009, reason: "" }]);
});

test("the last event says why, and whether to come back", async (t) => {
  const first = await connected(t);
  await first.stream.say({ type: "close", code: 1012, reason: "the server is restarting" });
  assert.equal(first.rooms.state, "waiting");
  assert.ok(first.stream.signal.aborted);
  const second = await connected(t);
  await second.stream.say(notice(1), { type: "close", code: 4507, reason: "signed out" }, notice(2));
  assert.deepEqual(second.closes, [{ code: 4507, reason: "signed out" }]);
});

test("what comes with the last event and after it is not heard", async (t) => {
  const { rooms, stream, errors } = await connected(t);
  const heard = [];
  rooms.on("notice", (data) => heard.push(data));
  const events = [notice(1), { type: "close", code: 4507, reason: "" }, notice(2)];
  await stream.write(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""));
  assert.deepEqual([heard, errors, rooms.state], [[1], [], "closed"]);
});

test("a stream that just ends, or breaks, is opened again", async (t) => {
  for (const how of ["end", "break"]) {
    const { rooms, hub, stream } = await connected(t);
    if (how === "end") await stream.end();
    else stream.controller.error(new Error("network"));
    await settled();
    await settled();
    assert.equal(rooms.state, "waiting");
    await pass(0.5);
    assert.equal(hub.streams.length, 2);
  }
});

test("a hub that does not let us in says so by its status", async (t) => {
  for (const [status, code] of [[401, 4500], [403, 4507], [404, undefined], [503, undefined]]) {
    const hub = new FakeStreams();
    hub.refuse = status;
    const { rooms, closes } = start(t, { transport: "sse", fetch: hub.fetch });
    await settled();
    await settled();
    assert.equal(rooms.state, code ? "closed" : "waiting");
    assert.deepEqual(closes.map((closed) => closed.code), code ? [code] : []);
  }
});

test("closing ends the stream and the request", async (t) => {
  const { rooms, hub, stream } = await connected(t);
  hub.answer = () => new Promise(() => {});
  rooms.send("say", 1).catch(() => {});
  await settled();
  rooms.close();
  assert.deepEqual([stream.signal.aborted, hub.posting.aborted], [true, true]);
  await pass(60);
  assert.equal(hub.posts.length, 2);
});

test("comments are a sign of life, and silence is none", async (t) => {
  const { rooms, hub, stream } = await connected(t);
  await pass(30);
  await stream.write(": still here\n\n");
  await pass(30);
  assert.equal(hub.posts.length, 1);
  await pass(5);
  assert.deepEqual(hub.posts[1].frames, [{ type: "ping" }]);
  await pass(10);
  assert.equal(rooms.state, "waiting");
});

test("a heartbeat of the connection before is none of the next", async (t) => {
  const { rooms, hub, stream } = await connected(t, { connectTimeout: 60 });
  await stream.end();
  await pass(0.5);
  await hub.streams[1].write(": hello\n\n");
  await pass(50);
  assert.equal(rooms.state, "connecting");
  assert.equal(hub.posts.length, 1);
});

const STREAM = [
  ": a comment, and an event with other fields\n",
  'id: 7\nevent: x\nretry: 5\ndata: {"type":"message","event":"notice","data":"a ☃ 😀 \u2028"}\n\n',
  'data:{"type":"message",\ndata:\t"event":"notice",\ndata: "data":"b"}\n\n',
  'data: {"type":"message","event":"notice","data":"c"}\r\n\r\n',
  'data: {"type":"message","event":"notice",\rdata: "data":"d"}\r\r\n\n',
  'data: {"type":"message",\r\ndata: "event":"notice",\r\ndata: "data":"D"}\r\n\r\n',
  'data: [{"type":"message","event":"notice","data":"e"},{"type":"message","event":"notice","data":"f"}]\n\n\n\n',
  'id: nothing to say\n\n',
  'data: {"type":"message","event":"notice","data":"g"}\n\n',
].join("");

test("a stream means the same wherever it is cut", async (t) => {
  const bytes = new TextEncoder().encode(STREAM);
  const cuts = Array.from({ length: bytes.length }, (_, cut) => [bytes.slice(0, cut), bytes.slice(cut)]);
  const single = Array.from(bytes, (byte) => Uint8Array.of(byte));
  for (const pieces of [...cuts, single]) {
    const { rooms, hub, stream } = await connected(t);
    const heard = [];
    rooms.on("notice", (data) => heard.push(data));
    for (const piece of pieces) stream.controller.enqueue(piece);
    while (heard.length < 8 && rooms.state === "connected") await settled();
    assert.deepEqual(heard, ["a ☃ 😀 \u2028", "b", "c", "d", "D", "e", "f", "g"], `cut into ${pieces.map(({ length }) => length)}`);
    rooms.close();
    assert.equal(hub.streams.length, 1);
  }
});

test("an event that is not finished when the stream ends is none", async (t) => {
  const { rooms, stream } = await connected(t);
  const heard = [];
  rooms.on("notice", (data) => heard.push(data));
  await stream.write(`data: ${JSON.stringify(notice(1))}\n`);
  await stream.end();
  assert.deepEqual(heard, []);
});

test("positions, joins and commands are as on a socket", async (t) => {
  const { rooms, hub, stream } = await connected(t);
  const room = rooms.join("lobby");
  const heard = [];
  room.on("joined", ({ again }) => heard.push(again));
  room.on("said", (data) => heard.push(data));
  await settled();
  const join = () => hub.posts.at(-1).frames.find(({ type }) => type === "join");
  await stream.say({ type: "joined", id: join().id, room: "lobby", position: "1.a" });
  await stream.say({ type: "message", room: "lobby", event: "said", data: "one", position: "2.a" });
  await stream.end();
  await pass(0.5);
  await hub.streams[1].connect();
  assert.equal(join().since, "2.a");
  await hub.streams[1].say({ type: "message", room: "lobby", event: "said", data: "two", position: "3.a" });
  await hub.streams[1].say({ type: "joined", id: join().id, room: "lobby", position: "3.a", recovered: true });
  assert.deepEqual(heard, [false, "one", true, "two"]);
});
