import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const file = (name) => new URL(`../../js/${name}`, import.meta.url);
const source = readFileSync(file("rooms.js"), "utf8");

test("the module has less than 6,000 bytes, gzipped", () => {
  const { length } = gzipSync(source, { level: 9 });
  console.log(`rooms.js: ${length} bytes gzipped`);
  assert.ok(length < 6_000, `${length} bytes`);
});

test("it imports nothing, and exports two names", async () => {
  assert.doesNotMatch(source, /^\s*import\b|\bimport\(/m);
  assert.deepEqual(Object.keys(await import(file("rooms.js"))).sort(), ["Rooms", "RoomsError"]);
});

test("the package has all that it names, and depends on nothing", () => {
  const { name, type, files, exports, types, ...rest } = JSON.parse(readFileSync(file("package.json"), "utf8"));
  assert.deepEqual([name, type, types], ["fastapi-rooms", "module", exports["."].types]);
  for (const path of [...files, exports["."].types, exports["."].default]) readFileSync(file(path));
  for (const key of ["dependencies", "devDependencies", "peerDependencies", "scripts"]) assert.ok(!(key in rest), key);
});

// Less than the timeout of a command, which would keep a process; one that has ended does not say it.
const LEFT = 'setTimeout(() => console.log("something is left"), 8_000).unref();';

const run = (script) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", LEFT + script], {
    encoding: "utf8",
    timeout: 60_000,
  });
  assert.equal(status, 0, stderr);
  return stdout.trim();
};

test("a process ends once all is closed, and nothing global is left", () => {
  const script = `
    const before = Reflect.ownKeys(globalThis).length;
    const { Rooms } = await import("${file("rooms.js")}");
    const refused = () => Promise.reject(new TypeError("refused"));
    const socket = class { constructor() { queueMicrotask(() => this.onopen()); } readyState = 1; send() {} close() {} };
    const kinds = [{ transport: "sse", fetch: refused }, { transport: "websocket", WebSocket: socket }];
    const all = kinds.map((kind) => new Rooms("http://hub.test", { ...kind, token: () => "t" }));
    all[1].join("lobby").send("say", 1).catch(({ code }) => console.log(code));
    setTimeout(() => {
      all.forEach((rooms) => rooms.close());
      console.log(Reflect.ownKeys(globalThis).length - before);
    }, 50);
  `;
  assert.equal(run(script), "0\nclosed");
});

test("a room that is refused does not end a process that looks elsewhere", () => {
  const script = `
    const { Rooms } = await import("${file("rooms.js")}");
    const socket = class {
      readyState = 1;
      constructor() { queueMicrotask(() => this.onopen()); }
      send(text) {
        for (const { id, type } of JSON.parse(text)) {
          const answer = type === "connect" ? { type: "connected", id, heartbeat: 35 } : { type: "error", id, code: "refused" };
          queueMicrotask(() => this.onmessage({ data: JSON.stringify(answer) }));
        }
      }
      close() {}
    };
    const rooms = new Rooms("http://hub.test", { transport: "websocket", WebSocket: socket });
    rooms.on("error", ({ code }) => setTimeout(() => rooms.close(), 50) && console.log(code));
    rooms.join("secret").send("say").catch(() => {});
  `;
  assert.equal(run(script), "refused");
});
