import { Rooms } from "../live/rooms.js";
import { AWAY, COLOURS, Field } from "./field.js";
import { Badge } from "./hub.js";
import { Steering } from "./steering.js";

const $ = (id) => document.getElementById(id);
const here = location.pathname.endsWith("/") ? null : location.pathname.split("/").at(-1); // null: the lobby
const FAVOURITES = ["meadow", "pond", "attic"];
const FORGOTTEN = 4_000; // ms without news of an arena
const AGAIN = 1_000; // ms between two times that we ask for a place
const STANDINGS = 20_000; // ms between two times that they are read out

const badge = new Badge();
let name = sessionStorage.getItem("name");
let rooms;

// Connecting: the token of before makes us the same player, though the page was loaded anew

async function signIn() {
  const before = sessionStorage.getItem("game-token");
  const answer = await fetch("token", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name, before }) });
  if (!answer.ok) throw new Error(answer.status === 422 ? "That name will not do: 1 to 24 characters." : "The sign-in failed.");
  const { token } = await answer.json();
  sessionStorage.setItem("game-token", token);
  return token;
}

function connect() {
  $("door").hidden = true;
  document.querySelector("live-state").hidden = false;
  rooms = new Rooms("live", { token: signIn });
  badge.show(rooms);
  rooms.on("close", ({ code }) => {
    if (code === 4500 || code === 4001) connect(); // a token of before the server's restart, or one that is too old
  });
  here === null ? enterLobby() : enterArena();
}

// The lobby

const arenas = new Map(FAVOURITES.map((arena) => [arena, { arena, players: [], watching: 0, at: Infinity }]));

function enterLobby() {
  $("lobby").hidden = false;
  rooms.join("lobby").on("arena", (told) => {
    arenas.set(told.arena, { ...told, at: performance.now() });
    listArenas();
  });
  listArenas();
}

function listArenas() {
  for (const [arena, { at }] of arenas) {
    if (performance.now() - at < FORGOTTEN || at === Infinity) continue;
    if (FAVOURITES.includes(arena)) arenas.set(arena, { arena, players: [], watching: 0, at: Infinity });
    else arenas.delete(arena);
  }
  const list = $("arenas");
  for (const item of [...list.children]) if (!arenas.has(item.dataset.arena)) item.remove();
  for (const told of arenas.values()) show(told, list);
}

function show({ arena, players, watching, left }, list) {
  let item = list.querySelector(`[data-arena="${CSS.escape(arena)}"]`);
  if (!item) {
    item = document.createElement("li");
    item.dataset.arena = arena;
    item.innerHTML = '<a><strong></strong><span class="who"></span><span class="seats" aria-hidden="true"></span><span class="small soft"></span></a>';
    item.firstChild.href = arena;
    for (const colour of COLOURS) item.querySelector(".seats").appendChild(document.createElement("i")).style.setProperty("--beetle", colour);
    list.append(item);
  }
  const [title, who, seats, small] = item.firstChild.children;
  [...seats.children].forEach((seat, at) => seat.toggleAttribute("data-taken", at < players.length));
  item.toggleAttribute("data-busy", players.length > 0);
  say(title, arena);
  say(who, players.length ? players.join(", ") : "Nobody plays here yet");
  say(small, players.length || watching ? `${players.length} of 12 play${watching ? `, ${watching} watch` : ""} · ${clock(left)} left` : "Be the first");
}

setInterval(() => here === null && rooms && listArenas(), 1_000);

$("open").addEventListener("submit", (event) => {
  event.preventDefault();
  location.assign($("new").value);
});

// The arena

const field = new Field($("field"));
const steering = new Steering($("field"), $("dash"), field);
let arena = null;
let plays = sessionStorage.getItem("game-watches") !== "yes";
let players = new Map(); // by user
let state = null;
let askedAt = 0;

function enterArena() {
  $("arena").hidden = false;
  $("where").hidden = false;
  say($("where"), here);
  document.title = `${here} · Game · fastapi-rooms`;
  rooms.on("state", (now) => $("arena").toggleAttribute("data-stale", now !== "connected"));
  arena = rooms.join(`arena-${here}`);
  arena.on("joined", () => plays && askForPlace());
  arena.on("players", (told) => seat(told));
  arena.on("state", (told) => follow(told));
  steering.start((what, data) => arena.send(what, data).catch(({ code, detail }) => code !== "lost" && say($("problem"), `Not done: ${detail}`)));
  $("field").focus();
}

function askForPlace() {
  if (performance.now() - askedAt < AGAIN) return;
  askedAt = performance.now();
  arena.send("play").catch(() => {}); // we ask again
}

/** Who plays, and whether we do: somebody who should and does not asks for a place as soon as there is one. */
function seat(told) {
  players = new Map(told.players.map(([place, user, called]) => [user, { place, name: called }]));
  field.names = new Map([...players.values()].map((one) => [one.place, one]));
  field.me = players.get(rooms.user)?.place ?? null;
  const full = players.size >= told.places;
  if (plays && field.me === null && !full) askForPlace();
  steering.active = field.me !== null;
  $("dash").hidden = field.me === null;
  $("note").hidden = field.me !== null;
  say($("note"), !plays ? "You watch." : full ? "All places are taken. You play as soon as one is free." : "A moment …");
  say($("seat"), plays ? "Just watch" : "Play");
  say($("watching"), told.watching === 1 ? "1 watches" : told.watching ? `${told.watching} watch` : "");
  if (state) listScores();
}

$("seat").addEventListener("click", () => {
  plays = !plays;
  sessionStorage.setItem("game-watches", plays ? "no" : "yes");
  plays ? askForPlace() : arena.send("watch").catch(() => {});
  $("field").focus();
});

let shown = "";
let standingsAt = performance.now();

function follow(told) {
  const before = state;
  state = { ...told, scores: told.beetles.map(([place, , , , , score, flags]) => ({ place, score, away: (flags & AWAY) > 0 })) };
  field.told(told);
  announce(before);
  const news = JSON.stringify([state.scores, state.left, state.playing]);
  if (news === shown) return;
  shown = news;
  listScores();
  say($("time"), state.playing ? clock(state.left) : "");
  $("time").toggleAttribute("data-last", state.left <= 10);
  if ($("podium").hidden !== state.playing) $("podium").hidden = state.playing;
  if (!state.playing) celebrate(before?.playing !== false);
}

const ranked = () => state.scores.map((one) => ({ ...one, name: field.names.get(one.place)?.name ?? "…" })).sort((a, b) => b.score - a.score || a.place - b.place);

function listScores() {
  const list = $("scores");
  const rows = ranked();
  while (list.children.length > rows.length) list.lastChild.remove();
  rows.forEach((one, at) => {
    const row = list.children[at] ?? list.appendChild(document.createElement("li"));
    if (!row.firstChild) row.innerHTML = '<span class="who"></span><span class="count"></span>';
    row.style.setProperty("--beetle", COLOURS[one.place]);
    row.toggleAttribute("data-me", one.place === field.me);
    row.toggleAttribute("data-away", one.away);
    say(row.firstChild, one.name + (one.place === field.me ? " (you)" : one.away ? " (away)" : ""));
    say(row.lastChild, one.score);
  });
}

function celebrate(anew) {
  say($("next"), `The next round begins in ${state.left} s`);
  if (!anew) return;
  const best = ranked().filter(({ score }) => score).slice(0, 3);
  const draw = best.length > 1 && best[0].score === best[1].score;
  say($("winner"), draw ? "It is a draw!" : best.length ? `${best[0].name} wins!` : "Nobody has a spark");
  $("steps").replaceChildren(...best.map((one) => {
    const step = document.createElement("li");
    step.innerHTML = "<span></span><div></div>";
    step.style.setProperty("--beetle", COLOURS[one.place]);
    say(step.firstChild, one.name);
    say(step.lastChild, one.score);
    return step;
  }));
}

/** For those who do not see the field: rounds, the last seconds, and now and then who leads. */
function announce(before) {
  if (before?.playing && !state.playing) read(`The round is over. ${standings()}`);
  else if (before && !before.playing && state.playing) read("A new round begins.");
  else if (before?.left > 30 && state.left === 30) read(`30 seconds left. ${standings()}`);
  else if (state.playing && performance.now() - standingsAt > STANDINGS) read(standings());
}

function standings() {
  const rows = ranked();
  const own = rows.findIndex(({ place }) => place === field.me);
  const leads = rows.length ? `${rows[0].name} leads with ${rows[0].score}. ` : "";
  return leads + (own >= 0 ? `You have ${rows[own].score}, and are number ${own + 1} of ${rows.length}.` : "");
}

function read(text) {
  standingsAt = performance.now();
  say($("announce"), text);
}

const clock = (seconds = 0) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;

function say(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

// The door

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  name = $("name").value;
  try {
    await signIn();
  } catch (error) {
    say($("sign-in-problem"), error.message);
    return;
  }
  sessionStorage.setItem("name", name);
  connect();
});

document.querySelector("live-state").watch(badge);
if (name) connect();
else {
  $("door").hidden = false;
  $("name").focus();
}
