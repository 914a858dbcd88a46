import { Live } from "./live.js";

const $ = (id) => document.getElementById(id);
const room = location.pathname.split("/").filter(Boolean).at(-1);
const ROOMS = ["lobby", "kitchen", "workshop"];
const TYPING_EVERY = 2_000; // ms: at most this often we tell …
const TYPING_LASTS = 3_500; // … and for this long it is shown
const KEPT = 300; // messages

// The name outlives the page, the token does not: after a restart of the server the page signs in again by itself.
let name = sessionStorage.getItem("name");
let token = null;

// The page knows where it is in the room's history, and says so when it comes back: then it gets what was said meanwhile.
let position = null;
let waiting = []; // what comes until the server has said, in its welcome, whether that is all; then null
let hasBeenHere = false;

async function signIn() {
  const answer = await fetch("token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name }),
  });
  if (!answer.ok) throw new Error(answer.status === 422 ? "That name will not do: 1 to 32 characters." : "The sign-in failed.");
  return (await answer.json()).token;
}

const live = new Live(() => (position ? `${room}?since=${position}` : room), {
  greeted: true,
  protocols: async () => ["access_token", (token ??= await signIn())],
  closed(code) {
    if (code !== 4001 && code !== 4500) return false; // expired, or from before the server's restart
    token = null;
    return true;
  },
});

// What the log shows. Everything that others wrote goes through textContent, so it stays text.

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function time(at) {
  const date = new Date(at * 1000);
  const day = date.toDateString() === new Date().toDateString() ? {} : { weekday: "short" };
  const made = element("time", "", date.toLocaleTimeString([], { ...day, hour: "2-digit", minute: "2-digit" }));
  made.dateTime = date.toISOString();
  return made;
}

let last = { at: 0 }; // what was said last
let grouped = false; // whether what the same person says next goes with it

const log = $("log");
let following = true; // what is said: nobody has scrolled back
let settling = false; // until the next frame, which is laid out once, however much comes before it

log.addEventListener("scroll", () => {
  if (!settling) following = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
});

function follow() {
  if (!following || settling) return;
  settling = true;
  requestAnimationFrame(() => {
    log.scrollTop = log.scrollHeight;
    settling = false;
  });
}

function append(item) {
  log.append(item);
  while (log.children.length > KEPT) log.firstElementChild.remove();
  follow();
}

function notice(text, at = Date.now() / 1000) {
  const item = element("li", "notice");
  item.append(element("span", "", text), time(at));
  append(item);
  grouped = false;
}

function say({ from, text, at }) {
  const first = !grouped || last.from !== from || at - last.at > 300;
  const item = element("li", `said${from === name ? " mine" : ""}${first ? " first" : ""}`);
  const who = element("div", first ? "who" : "unseen");
  who.append(element("span", "", from), time(at));
  item.append(who, element("p", "text", text));
  append(item);
  last = { from, at };
  grouped = true;
}

// Who is here. A welcome has everybody, with all their tabs; after that comes what has changed.

let people = new Map();
let version = 0;
let listed = true; // false: there are too many to name

const typedAt = (tabs = []) => Math.max(0, ...tabs.map(({ metadata }) => metadata.typing ?? 0));

function change(diff) {
  if (diff.version <= version) return;
  for (const [other, tabs] of Object.entries({ ...diff.joins, ...diff.updates })) {
    if (listed && !people.has(other)) notice(`${other} came in`);
    if (typedAt(tabs) > typedAt(people.get(other))) isTyping(other);
    if (!typedAt(tabs)) stopsTyping(other);
    people.set(other, tabs);
  }
  for (const other of Object.keys(diff.leaves)) {
    if (people.delete(other)) notice(`${other} left`);
    stopsTyping(other);
  }
  if (!diff.listed) people.clear();
  showPeople(diff);
}

function showPeople(news) {
  ({ version, listed } = news);
  $("count").textContent = news.count;
  $("people").replaceChildren(
    ...[...people.keys()].sort((a, b) => a.localeCompare(b)).map((other) => {
      const item = element("li", "", other);
      if (other === name) item.append(element("span", "you", "you"));
      return item;
    }),
  );
}

const typing = new Map();

function showTyping() {
  const names = [...typing.keys()];
  const subject = names.length > 3 ? "Several people are" : names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names.at(-1)} are` : `${names[0]} is`;
  $("typing").textContent = names.length ? `${subject} typing…` : "";
}

function isTyping(from) {
  if (from === name) return;
  clearTimeout(typing.get(from));
  typing.set(from, setTimeout(() => stopsTyping(from), TYPING_LASTS));
  showTyping();
}

function stopsTyping(from) {
  clearTimeout(typing.get(from));
  typing.delete(from);
  showTyping();
}

function welcome({ recovered, reason, position: here, present }) {
  const [came, seen] = [waiting, last.at];
  waiting = null;
  if (recovered === false && reason !== "unavailable") notice("Some messages may be missing here");
  if (here) position = here; // and each message that came after it moves it on
  people = new Map(Object.entries(present.users));
  showPeople(present);
  for (const message of came) if (recovered || message.type !== "say" || message.at > seen) receive[message.type]?.(message);
  if (!hasBeenHere) notice(`You are in the ${room}`);
  else if (recovered) notice("Connected again, nothing is missing");
  hasBeenHere = true;
  requestAnimationFrame(() => (log.ariaLive = "polite")); // nobody wants all that was said before read out
}

const receive = {
  welcome,
  presence: ({ diff }) => change(diff),
  say(message) {
    position = message.position;
    stopsTyping(message.from);
    say(message);
  },
  refused({ reason, text }) {
    $("problem").textContent = `Not sent: ${reason}`;
    $("text").value ||= text ?? "";
  },
};

live.addEventListener("message", ({ detail }) => {
  const message = JSON.parse(detail);
  if (waiting && message.type !== "welcome") waiting.push(message);
  else receive[message.type]?.(message);
});

let wasLive = false;
live.addEventListener("state", ({ detail }) => {
  const isLive = detail === "live";
  $("send").disabled = !isLive;
  $("room").toggleAttribute("data-stale", !isLive);
  if (wasLive && !isLive && detail !== "idle") notice("Connection lost");
  if (!isLive) waiting = [];
  wasLive = isLive;
});

// Writing

let toldTyping = -Infinity;
$("text").addEventListener("input", () => {
  $("problem").textContent = "";
  if (!$("text").value.trim() || performance.now() - toldTyping < TYPING_EVERY) return;
  if (live.send(JSON.stringify({ type: "typing" }))) toldTyping = performance.now();
});

$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("say").requestSubmit();
});

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || !live.send(JSON.stringify({ type: "say", text }))) return;
  $("text").value = "";
  toldTyping = -Infinity;
  following = true;
  follow();
  $("text").focus();
});

// Coming in, changing rooms, leaving

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  name = $("name").value.trim();
  try {
    token = await signIn();
  } catch (error) {
    $("sign-in-problem").textContent = error.message;
    return;
  }
  sessionStorage.setItem("name", name);
  enter();
  $("text").focus();
});

$("sign-out").addEventListener("click", () => {
  sessionStorage.removeItem("name");
  location.reload();
});

$("go").addEventListener("submit", (event) => {
  event.preventDefault();
  location.assign($("other").value);
});

function enter() {
  $("door").hidden = true;
  $("room").hidden = false;
  document.querySelector("live-state").hidden = false;
  live.start();
}

for (const other of ROOMS.includes(room) ? ROOMS : [room, ...ROOMS]) {
  const link = element("a", "", other);
  link.href = other;
  if (other === room) link.setAttribute("aria-current", "page");
  const item = element("li", "");
  item.append(link);
  $("rooms").append(item);
}
$("title").textContent = room;
$("enter").textContent = `Enter the ${room}`;
document.title = `${room} · chat · fastapi-rooms`;
document.querySelector("live-state").watch(live);
if (name) enter();
else {
  $("door").hidden = false;
  $("name").focus();
}
