// Clients that do what they are told: see stage.py. One line of JSON in for each order, and one out for each answer.

import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";

import { Rooms } from "../../js/rooms.js";

class Actor {
  #journal = [];
  #counts = {};
  #waiters = [];
  #rooms = {};
  #token;

  note(kind, details) {
    this.#journal.push({ kind, at: Date.now() / 1000, ...details });
    this.#counts[kind] = (this.#counts[kind] ?? 0) + 1;
    this.#waiters = this.#waiters.filter((waiter) => !waiter());
  }

  open({ url, transport, token, wire, ...options }) {
    this.#token = token;
    this.client = new Rooms(url, { transport, token: () => this.#token, ...(wire && this.#wired()), ...options });
    this.client.on("state", (state) => this.note(`state ${state}`));
    this.client.on("close", ({ code }) => this.note("closed", { code }));
    this.client.on("error", (error) => this.note("error", { code: error.code ?? String(error) }));
    this.client.on("dropped", (told) => this.note("dropped", told));
    this.client.on("*", (data, { event }) => this.note("message", { event, data }));
  }

  take_token({ token }) {
    this.#token = token;
  }

  join({ room: name, since }) {
    const room = (this.#rooms[name] = this.client.join(name, { since }));
    room.on("joined", ({ position, recovered, reason, again }) =>
      this.note("joined", { room: name, position, recovered, reason, again }),
    );
    room.on("left", (error) => this.note("left", { room: name, code: error?.code }));
    room.on("*", (data, { event, position }) => this.note("message", { room: name, event, data, position }));
    for (const kind of ["join", "leave", "update"])
      room.presence.on(kind, (user, tabs) =>
        this.note(`presence ${kind}`, { room: name, user, tabs: tabs.map(({ metadata }) => metadata) }),
      );
    room.presence.on("change", () => this.note("presence", {}));
  }

  joined({ room }) {
    return this.#rooms[room].joined;
  }

  send({ room, command, data }) {
    return (room === undefined ? this.client : this.#rooms[room]).send(command, data);
  }

  publish({ room, event, data }) {
    return this.#rooms[room].publish(event, data);
  }

  tell({ room, metadata }) {
    return this.#rooms[room].presence.update(metadata);
  }

  position({ room }) {
    return this.#rooms[room].position;
  }

  leave({ room }) {
    this.#rooms[room].leave();
  }

  async until({ kind, count }) {
    await this.#until(() => (this.#counts[kind] ?? 0) >= count);
    return this.#counts[kind];
  }

  async until_present({ room, users }) {
    const { presence } = this.#rooms[room];
    await this.#until(() => {
      const all = Object.entries(presence.users).map(([user, tabs]) => [user, tabs.at(-1).metadata]);
      return isDeepStrictEqual(Object.fromEntries(all), users);
    });
  }

  connection() {
    return this.client.connection;
  }

  journal() {
    return this.#journal;
  }

  close() {
    this.client.close();
  }

  /** Until this is so; asked anew with each entry. */
  #until(met) {
    return new Promise((resolve) => {
      const enough = () => met() && (resolve(), true);
      if (!enough()) this.#waiters.push(enough);
    });
  }

  /** What goes over the wire, as it goes. */
  #wired() {
    const up = (frames) => this.#frames("up", frames);
    const down = (frames) => this.#frames("down", frames);

    class Recorded extends WebSocket {
      constructor(...how) {
        super(...how);
        this.addEventListener("message", ({ data }) => down(data));
      }

      send(data) {
        up(data);
        super.send(data);
      }
    }

    let last = "";
    const recorded = async (url, options) => {
      if (options.method === "POST" && options.body !== last) {
        last = options.body; // else it is sent again
        up(JSON.stringify(JSON.parse(last).frames));
      }
      const answer = await fetch(url, options);
      if (options.method === "POST" || !answer.ok) return answer;
      let rest = "";
      const text = new TextDecoder();
      const reading = new TransformStream({
        transform(chunk, controller) {
          const lines = (rest + text.decode(chunk, { stream: true })).split(/\r\n|\n/);
          rest = lines.pop();
          for (const line of lines) if (line.startsWith("data:")) down(line.slice(5));
          controller.enqueue(chunk);
        },
      });
      return new Response(answer.body.pipeThrough(reading), { status: answer.status });
    };
    return { WebSocket: Recorded, fetch: recorded };
  }

  #frames(direction, text) {
    for (const frame of [JSON.parse(text)].flat()) this.note(`${direction} ${frame.type ?? "message"}`, { frame });
  }
}

const actors = new Map();
const answer = (told) => process.stdout.write(JSON.stringify(told) + "\n");

for await (const line of createInterface({ input: process.stdin })) {
  const { id, actor: name, order, ...details } = JSON.parse(line);
  if (!actors.has(name)) actors.set(name, new Actor());
  const actor = actors.get(name);
  (async () => actor[order](details))().then(
    (value) => answer({ id, value: value ?? null }),
    ({ code, detail, field, message }) => answer({ id, error: { code: code ?? message, detail, field } }),
  );
}
for (const { client } of actors.values()) client?.close();
