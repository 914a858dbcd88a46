// How the client is used, as its types see it. A line after "@ts-expect-error" is one that they must refuse.

import { Rooms, RoomsError } from "../../js/rooms.js";
import type { Joined, Message, People, Room, RoomsOptions, State, Unsubscribe } from "../../js/rooms.js";

interface Said {
  user: string;
  text: string;
}

interface Lobby {
  said: Said;
  joined: { user: string };
}

interface Typing {
  typing: boolean;
}

declare const address: { readonly href: string }; // a URL or a Location
declare const fetchToken: () => Promise<string>;
declare const show: (...what: unknown[]) => void;

// Without types

const plain = new Rooms("/live");
const anything = plain.join("lobby");
anything.on("said", (m) => show(m.user, m.text));
anything.on("*", (data, { event, position }) => show(data.x, event, position));
anything.send("say", { text: "hi" }).then((reply) => show(reply.anything));
anything.publish("typing");
anything.presence.on("change", (users) => show(Object.keys(users)));
anything.presence.update({ typing: true });
plain.on("notice", (data, message) => show(data, message.event));

// Options

new Rooms(address, { token: "t", transport: "sse", timeout: 5, queue: 10, minDelay: 1, maxDelay: 2 });
new Rooms("/live", { token: fetchToken, connectTimeout: 3 });
new Rooms("/live", { token: () => undefined });
const options: RoomsOptions = { fetch: async (url: unknown) => url };
new Rooms("/live", options);
// @ts-expect-error: no such way
new Rooms("/live", { transport: "polling" });
// @ts-expect-error: no such option
new Rooms("/live", { retries: 3 });
// @ts-expect-error: no url
new Rooms();

// With types

const rooms = new Rooms<{ notice: string }>("/live");
rooms.on("notice", (text) => show(text.toUpperCase()));
rooms.on("message:notice", (text) => show(text.toUpperCase()));
const stop: Unsubscribe = rooms.on("state", (state: State) => show(state === "connected"));
stop();
rooms.on("error", (error) => show(error instanceof RoomsError && error.code === "refused", error.message));
rooms.on("close", ({ code, reason }) => show(code + 1, reason.length));
rooms.on("dropped", ({ messages, bytes }) => show(messages + bytes));
rooms.off("state", show);
// @ts-expect-error: no such message
rooms.on("other", show);
// @ts-expect-error: the state is a word
rooms.on("state", (state: number) => show(state));

const room: Room<Lobby, Typing> = rooms.join<Lobby, Typing>("lobby", { since: "17.a" });
room.on("said", ({ user, text }, message) => show(user, text, message.data.user, message.position?.length));
room.on("joined", ({ recovered, reason, position, again }) => show(recovered === false, reason, position, !again));
room.on("message:joined", ({ user }) => show(user.length));
room.on("left", (error) => show(error?.code));
room.on("*", (data, message) => {
  if (message.event === "said") show(message.data.text, "user" in data);
});
// @ts-expect-error: no such field
room.on("said", ({ color }) => show(color));
// @ts-expect-error: no such event
room.on("shouted", show);
// @ts-expect-error: this one is ours, and has no user
room.on("joined", ({ user }) => show(user));
// @ts-expect-error: it is read alone
room.position = "1.a";
// @ts-expect-error: and so is this
rooms.state = "closed";

room.presence.on("change", (users: People<Typing>) => show(users["ann"]?.[0]?.metadata.typing));
room.presence.on("join", (user, connections) => show(user.length, connections[0]?.id));
room.presence.on("leave", (user, connections) => show(user, connections.length));
const { count, listed, users } = room.presence;
show(count + 1, !listed, users["bob"]);
room.presence.update({ typing: true }).then(() => show());
// @ts-expect-error: not what is told here
room.presence.update({ typing: 1 });
// @ts-expect-error: no such event
room.presence.on("arrive", show);

async function use(): Promise<Said> {
  const joined: Joined = await room.joined;
  show(joined.position);
  for await (const message of room) {
    const one: Message<Lobby> = message;
    if (one.event === "joined") show(one.data.user);
    else show(one.data.text);
  }
  await room.publish("said", { user: "ann", text: "hi" }, { timeout: null });
  // @ts-expect-error: not its data
  await room.publish("said", { text: 1 });
  await rooms.send("time", undefined, { timeout: 3 });
  try {
    return await room.send<Said>("say", { text: "hi" });
  } catch (error) {
    if (error instanceof RoomsError) show(error.code === "timeout", error.field?.length, error.detail.length, error.stack);
    throw error;
  } finally {
    room.leave();
    rooms.close();
  }
}

show(use, rooms.user?.length, rooms.connection);
