// The chat with a RoomManager (chat.py): the page keeps its place in the room's history and merges what has changed.

import { Live } from "./static/live.js";
import { compareTyping, lastSaid, notice, openPage, readOut, refused, room, say, showPeople, showState, signIn } from "./static/chat-view.js";

// The page knows where it is in the room's history, and says so when it comes back: then it gets what was said meanwhile.
let position = null;
let waiting = []; // what comes until the server has said, in its welcome, whether that is all; then null
let hasBeenHere = false;

const way = {
  token: null,
  start: () => live.start(),
  say: (text) => live.send(JSON.stringify({ type: "say", text })),
  typing: () => live.send(JSON.stringify({ type: "typing" })),
};

const live = new Live(() => (position ? `${room}?since=${position}` : room), {
  greeted: true,
  protocols: async () => ["access_token", (way.token ??= await signIn())],
  closed(code) {
    if (code !== 4001 && code !== 4500) return false; // expired, or from before the server's restart
    way.token = null;
    return true;
  },
});

// Who is here. A welcome has everybody, with all their tabs; after that comes what has changed.

let people = new Map();
let version = 0;
let listed = true; // false: there are too many to name

function change(diff) {
  if (diff.version <= version) return;
  for (const [other, tabs] of Object.entries({ ...diff.joins, ...diff.updates })) {
    if (listed && !people.has(other)) notice(`${other} came in`);
    compareTyping(other, people.get(other), tabs);
    people.set(other, tabs);
  }
  for (const other of Object.keys(diff.leaves)) {
    if (people.delete(other)) notice(`${other} left`);
    compareTyping(other);
  }
  if (!diff.listed) people.clear();
  follow(diff);
}

function follow(news) {
  ({ version, listed } = news);
  showPeople(people.keys(), news.count);
}

function welcome({ recovered, reason, position: here, present }) {
  const [came, seen] = [waiting, lastSaid()];
  waiting = null;
  if (recovered === false && reason !== "unavailable") notice("Some messages may be missing here");
  if (here) position = here; // and each message that came after it moves it on
  people = new Map(Object.entries(present.users));
  follow(present);
  for (const message of came) if (recovered || message.type !== "say" || message.at > seen) receive[message.type]?.(message);
  if (!hasBeenHere) notice(`You are in the ${room}`);
  else if (recovered) notice("Connected again, nothing is missing");
  hasBeenHere = true;
  readOut();
}

const receive = {
  welcome,
  presence: ({ diff }) => change(diff),
  say(message) {
    position = message.position;
    say(message);
  },
  refused: ({ reason, text }) => refused(reason, text),
};

live.addEventListener("message", ({ detail }) => {
  const message = JSON.parse(detail);
  if (waiting && message.type !== "welcome") waiting.push(message);
  else receive[message.type]?.(message);
});

live.addEventListener("state", ({ detail }) => {
  showState(detail);
  if (detail !== "live") waiting = [];
});

document.querySelector("live-state").watch(live);
openPage(way);
