// What both chats show: the log, who is here, who is typing, the door. How they talk to their server is theirs:
// chat.js with a RoomManager, chat-hub.js with a hub.

const ROOMS = ["lobby", "kitchen", "workshop"];
const TYPING_EVERY = 2_000; // ms: at most this often we tell …
const TYPING_LASTS = 3_500; // … and for this long it is shown
const KEPT = 300; // messages

export const $ = (id) => document.getElementById(id);
export const room = location.pathname.split("/").filter(Boolean).at(-1);

// The name outlives the page, the token does not: after a restart of the server the page signs in again by itself.
let name = sessionStorage.getItem("name");

export async function signIn() {
  const answer = await fetch("token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name }),
  });
  if (!answer.ok) throw new Error(answer.status === 422 ? "That name will not do: 1 to 32 characters." : "The sign-in failed.");
  return (await answer.json()).token;
}

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

export function notice(text, at = Date.now() / 1000) {
  const item = element("p", "notice");
  item.append(element("span", "", text), time(at));
  append(item);
  grouped = false;
}

export function say({ from, text, at }) {
  stopsTyping(from);
  const first = !grouped || last.from !== from || at - last.at > 300;
  const item = element("article", `said${from === name ? " mine" : ""}${first ? " first" : ""}`);
  const who = element("div", first ? "who" : "unseen");
  who.append(element("span", "", from), time(at));
  item.append(who, element("p", "text", text));
  append(item);
  last = { from, at };
  grouped = true;
}

/** When the last thing was said that the log has, in seconds. */
export const lastSaid = () => last.at;

/** From now on, what is said is read out: nobody wants that of all that was said before. */
export const readOut = () => requestAnimationFrame(() => (log.ariaLive = "polite"));

// Who is here: names, each with all their tabs.

/** When somebody has typed, in seconds; 0: not now. */
const typedAt = (tabs = []) => Math.max(0, ...tabs.map(({ metadata }) => metadata.typing ?? 0));

/** What somebody's tabs say of typing, where it differs from what they said. */
export function compareTyping(other, before, after) {
  if (typedAt(after) > typedAt(before)) isTyping(other);
  if (!typedAt(after)) stopsTyping(other);
}

export function showPeople(names, count) {
  $("count").textContent = count;
  $("people").replaceChildren(
    ...[...names].sort((a, b) => a.localeCompare(b)).map((other) => {
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

export function stopsTyping(from) {
  clearTimeout(typing.get(from));
  typing.delete(from);
  showTyping();
}

// The connection

let wasLive = false;

export function showState(state) {
  const isLive = state === "live";
  $("send").disabled = !isLive;
  $("room").toggleAttribute("data-stale", !isLive);
  if (wasLive && !isLive && state !== "idle") notice("Connection lost");
  wasLive = isLive;
}

export function refused(reason, text) {
  $("problem").textContent = `Not sent: ${reason}`;
  $("text").value ||= text ?? "";
}

// Writing

let way; // to the server: { start(), say(text), typing() }; the last two say whether it was live
let toldTyping = -Infinity;
$("text").addEventListener("input", () => {
  $("problem").textContent = "";
  if (!$("text").value.trim() || performance.now() - toldTyping < TYPING_EVERY) return;
  if (way.typing()) toldTyping = performance.now();
});

$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("say").requestSubmit();
});

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || !way.say(text)) return;
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
    way.token = await signIn();
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
  way.start();
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

/** Open the page: ask for a name, unless there is one, and start. */
export function openPage(chosen) {
  way = chosen;
  if (name) return enter();
  $("door").hidden = false;
  $("name").focus();
}
