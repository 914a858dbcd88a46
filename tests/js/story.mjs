// One story, told by a process that ends by itself: node story.mjs URL ROOM WAY. It prints what happened, a line for each thing.

import { Rooms } from "../../js/rooms.js";

const [url, room, transport] = process.argv.slice(2);
const tell = (...what) => console.log(JSON.stringify(what));
const token = async () => (await fetch(`${url}/token?user=ann&seconds=600`)).text();
const post = (path) => fetch(url + path, { method: "POST" });
const happens = (it, event) => new Promise((resolve) => it.on(event, resolve));

const rooms = new Rooms(`${url}/live`, { token, transport, minDelay: 0.1 });
rooms.on("state", (state) => tell("state", state));
rooms.on("close", ({ code }) => tell("close", code));
rooms.on("error", ({ code }) => tell("error", code));
rooms.on("said", ({ user, text }) => tell("whispered", user, text));

const lobby = rooms.join(room);
lobby.on("joined", ({ recovered, again }) => tell("joined", recovered ?? null, again));
lobby.on("left", (error) => tell("left", error?.code ?? null));
const here = happens(lobby.presence, "change");
const early = lobby.send("say", { text: "before there is a connection" });
await lobby.joined;
tell("reply", await early);

tell("here", Object.keys(await here), rooms.user);

const read = [];
const reading = (async () => {
  for await (const { event, data, position } of lobby) {
    if (typeof position !== "string") throw new Error("no position");
    read.push([event, data.text ?? data]);
    if (data.text === "the end") break;
  }
})();

await lobby.publish("typing", "ann");
tell("reply", await rooms.send("whisper", { text: "psst" }));
await lobby.send("say", { text: 5 }).catch(({ name, code, field }) => tell(name, code, field));
await rooms.send("fail").catch(({ name, code, detail }) => tell(name, code, detail));
await rooms.send("nothing").catch(({ code }) => tell(code));
await rooms.join("secret").joined.catch(({ code }) => tell("refused", code));

for (let cut = 0; cut < 3; cut++) {
  const back = happens(lobby, "joined");
  await post(`/cut?room=${room}&code=1012`);
  for (let number = 0; number < 20; number++) await post(`/say?room=${room}&text=${cut}.${number}`);
  await back;
}

const updated = happens(lobby.presence, "update");
await lobby.presence.update({ mood: "good" });
await updated;
tell("told", lobby.presence.users.ann[0].metadata, lobby.presence.users.ann[0].id === rooms.connection);

const replies = await Promise.all(Array.from({ length: 150 }, (_, number) => lobby.send("say", { text: `many ${number}` })));
tell("in order", replies.every(({ text }, number) => text === `many ${number}`));

await lobby.send("say", { text: "the end" });
await reading;
tell("read", read);

lobby.leave();
await lobby.send("say", { text: "from outside" }).catch(({ code }) => tell(code));
rooms.close();
await rooms.send("whisper", { text: "psst" }).catch(({ code }) => tell(code));
