// The chat on a hub (chat_hub.py): rooms.js keeps the place in the history, comes back, and knows who is here.

import { Rooms } from "./live/rooms.js";
import { Badge } from "./static/hub.js";
import { compareTyping, notice, openPage, readOut, refused, room, say, showPeople, showState, signIn } from "./static/chat-view.js";

const badge = new Badge();
let lobby;

const way = {
  token: null,
  start: connect,
  say(text) {
    lobby.send("say", { text }).catch((error) => refused(error.detail, text));
    return tell({});
  },
  typing: () => tell({ typing: Date.now() / 1000 }),
};

function tell(metadata) {
  lobby.presence.update(metadata).catch(() => {}); // the next one is newer
  return badge.state === "live";
}

/** The door has one already; later each is a new one, as they last an hour. */
function freshToken() {
  const given = way.token;
  way.token = null;
  return given ?? signIn();
}

function connect() {
  const rooms = new Rooms("live", { token: freshToken });
  badge.show(rooms);
  rooms.on("close", ({ code }) => code === 4500 && connect()); // a token of before the server's restart
  lobby = rooms.join(room, { since: lobby?.position });
  lobby.on("said", ({ text, by, at }) => say({ text, from: by, at }));
  lobby.on("joined", joined);
  people(lobby.presence);
}

let hasBeenHere = false;

function joined({ recovered, reason }) {
  if (recovered === false && reason !== "unavailable") notice("Some messages may be missing here");
  if (!hasBeenHere) notice(`You are in the ${room}`);
  else if (recovered) notice("Connected again, nothing is missing");
  hasBeenHere = true;
  readOut();
}

function people(presence) {
  presence.on("change", (users) => showPeople(Object.keys(users), presence.count));
  presence.on("join", (other) => notice(`${other} came in`));
  presence.on("leave", (other) => {
    notice(`${other} left`);
    compareTyping(other);
  });
  presence.on("update", (other, tabs) => compareTyping(other, undefined, tabs));
}

badge.addEventListener("state", ({ detail }) => showState(detail));
document.querySelector("live-state").watch(badge);
openPage(way);
