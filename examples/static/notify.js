import { Rooms } from "../live/rooms.js";
import { AlertList } from "./alert-list.js";
import { SEVERITIES } from "./alert-row.js";
import { Badge } from "./hub.js";
import { Inbox } from "./inbox.js";
import { backupDone, makeButtons, showLines } from "./raising.js";

const $ = (id) => document.getElementById(id);

let me = JSON.parse(sessionStorage.getItem("notify")); // name, and whether on call
let token = null;
let room, inbox, list;

const badge = new Badge();
const arrived = []; // alerts that nobody was told of yet

// Signing in

async function signIn() {
  const answer = await fetch("token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name: me.name, on_call: me.onCall }),
  });
  if (!answer.ok) throw new Error(answer.status === 422 ? "That name will not do: 1 to 24 characters." : "The sign-in failed.");
  const { token: fresh, broker } = await answer.json();
  token = fresh;
  showLines(token, { broker });
  return token;
}

async function post(path, body) {
  const once = () =>
    fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
      body: JSON.stringify(body),
    });
  const answer = await once();
  if (answer.status !== 401) return answer;
  await signIn(); // the token was of before the server's restart
  return once();
}

function enter() {
  $("door").hidden = true;
  document.querySelector("live-state").hidden = false;
  $("me").textContent = me.name;
  inbox = new Inbox(me.name);
  inbox.addEventListener("change", renderSoon);
  list = new AlertList($("alerts"), inbox, { acknowledge: (id) => ask("acknowledge", id, "Not acknowledged"), changed: renderSoon });
  connect();
}

// Connecting

function connect() {
  const rooms = new Rooms("live", { token: signIn });
  rooms.on("error", () => {}); // the badge tells of it, or the page of those who are refused
  rooms.on("state", (state) => $("inbox").toggleAttribute("data-stale", state !== "connected"));
  badge.show(rooms);
  room = rooms.join("alerts", { since: inbox.position });
  room.on("joined", welcome);
  room.on("left", refuse);
  room.on("alert", (alert, { position }) => inbox.add(alert, position) && arrive(alert));
  room.on("acknowledged", (said, { position }) => {
    inbox.acknowledge(said, position);
    renderSoon();
  });
  room.on("message", (text) => ask("relay", String(text).slice(0, 300), `Not kept: “${text}”`)); // from the command line
  room.presence.on("change", () => ($("people").textContent = `${room.presence.count} on call`));
}

/** What was missed is told right after this. */
function welcome({ recovered, reason }) {
  $("inbox").hidden = false;
  if (recovered === false) inbox.forget();
  queueMicrotask(() => {
    const count = arrived.splice(0).length;
    $("news").textContent = newsOf(count === 1 ? "1 alert" : `${count} alerts`, { count, recovered, reason });
    render();
  });
}

function newsOf(alerts, { count, recovered, reason }) {
  if (reason === "epoch_changed") return "The server has forgotten what was before: without a broker it keeps alerts in its memory.";
  if (recovered === false) return "More has happened than is kept. These are the latest alerts.";
  if (!count) return "";
  return recovered ? `${alerts} came while you were away.` : `${alerts} from before you came.`;
}

function refuse(error) {
  if (error?.code !== "refused") return; // the badge tells of the rest
  $("inbox").hidden = true;
  $("refused").hidden = false;
}

async function ask(what, data, failure) {
  try {
    await room.send(what, data);
    $("problem").textContent = "";
  } catch (error) {
    $("problem").textContent = `${failure}: ${error.detail}`;
  }
}

// What comes

function arrive(alert) {
  if (arrived.push(alert) === 1) queueMicrotask(() => queueMicrotask(tell)); // after what `welcome` has to say
  renderSoon();
}

function tell() {
  const alerts = arrived.splice(0);
  if (!alerts.length) return;
  const { severity, text, source } = alerts.at(-1);
  const words = `${SEVERITIES[severity]}: ${text}`;
  $("spoken").textContent = alerts.length > 1 ? `${alerts.length} new alerts` : words;
  if (alerts.some(({ source }) => source === "background task")) backupDone();
  if (document.hidden && globalThis.Notification?.permission === "granted") notify(words, source);
}

function notify(title, body) {
  try {
    const shown = new Notification(title, { body, tag: "fastapi-rooms notify", icon: "static/icon.svg" });
    shown.onclick = () => {
      focus();
      shown.close();
    };
  } catch {
    // a phone wants a service worker for it; the title counts all the same
  }
}

// Showing it. Microtasks run in hidden pages too, where frames do not come and timers come late.

let isStale = false;

function renderSoon() {
  if (!isStale) queueMicrotask(render);
  isStale = true;
}

function render() {
  isStale = false;
  for (const { id } of arrived) list.expect(id);
  list.render();
  const { unread } = inbox;
  const all = inbox.list().length;
  document.title = unread ? `(${unread}) Alerts · fastapi-rooms` : "Alerts · fastapi-rooms";
  $("favicon").href = unread ? "static/icon-unread.svg" : "static/icon.svg";
  $("read-all").hidden = !unread;
  $("all-count").textContent = all;
  $("open-count").textContent = inbox.list({ open: true }).length;
  $("empty").hidden = list.length > 0;
  $("empty-text").textContent = all ? "Nothing is open: all of it is acknowledged." : "All quiet. Raise one, and watch it come.";
}

// What the page's own buttons do

$("filter").addEventListener("change", ({ target }) => {
  list.openOnly = target.value === "open";
  render();
});

$("read-all").addEventListener("click", () => {
  inbox.readAll();
  render();
  $("alerts").querySelector("[tabindex='0']")?.focus(); // the button has gone
});

const showAsk = () => ($("ask").hidden = globalThis.Notification?.permission !== "default");
$("ask").addEventListener("click", async () => {
  const answer = await Notification.requestPermission();
  $("news").textContent = answer === "granted" ? "While this page is hidden, the browser tells you of alerts." : "The browser will not tell you; the title counts.";
  showAsk();
});
showAsk();

makeButtons(post, (problem) => ($("problem").textContent = problem));

$("try").addEventListener("click", async () => {
  try {
    const answer = await post("alerts", { text: "Raised by a visitor" });
    $("tried").textContent = `POST alerts → ${answer.status} ${(await answer.json()).detail}`;
  } catch {
    $("tried").textContent = "The server is out of reach.";
  }
});

for (const button of document.querySelectorAll("[data-sign-out]"))
  button.addEventListener("click", () => {
    sessionStorage.removeItem("notify");
    location.reload();
  });

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  me = { name: $("name").value.trim(), onCall: new FormData($("sign-in")).get("role") === "on-call" };
  try {
    await signIn();
  } catch (error) {
    $("sign-in-problem").textContent = error.message;
    return;
  }
  sessionStorage.setItem("notify", JSON.stringify(me));
  enter();
});

document.querySelector("live-state").watch(badge);
if (me) enter();
else {
  $("door").hidden = false;
  $("name").focus();
}
