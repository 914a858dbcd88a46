import { Rooms } from "../live/rooms.js";
import { Badge, signIn } from "./hub.js";
import { COLOURS, HEIGHT, Picture, WIDTH } from "./picture.js";

const $ = (id) => document.getElementById(id);
const canvas = location.pathname.split("/").filter(Boolean).at(-1);
const EVERY = 33; // ms: so often the others get what is new of a stroke, and where the pointer is
const LONGEST = 1_900; // numbers; a longer stroke goes on as another one
const IDLE_AFTER = 4_000; // ms, and a pointer goes
const SIGN_IN_AGAIN_AFTER = 11 * 3600_000; // ms; a token lasts twelve hours
const STEP = 120; // of the pen, by keyboard

let name = sessionStorage.getItem("name");
let token = null;
let signedIn = 0;
let rooms, kept, moving;

const picture = new Picture($("picture"), $("moving"));
const badge = new Badge();
const mine = []; // numbers of finished strokes that can be taken back, the last one last

// Connecting

/** The same as long as it may be: what is one's own to take back goes by it. */
async function currentToken() {
  if (performance.now() - signedIn > SIGN_IN_AGAIN_AFTER) token = null;
  if (!token) [token, signedIn] = [await signIn(name), performance.now()];
  return token;
}

function connect() {
  rooms = new Rooms("live", { token: currentToken });
  badge.show(rooms);
  rooms.on("close", ({ code }) => {
    if (code !== 4500 && code !== 4001) return; // only a token of before the server's restart, or one that is too old
    token = null;
    connect();
  });
  rooms.on("state", (state) => $("studio").toggleAttribute("data-stale", state !== "connected"));
  moving = rooms.join(`moving-${canvas}`);
  moving.on("part", (part) => picture.move(part));
  moving.on("pointer", point);
  enterCanvas();
}

function enterCanvas() {
  kept = rooms.join(`canvas-${canvas}`);
  kept.on("joined", ({ recovered }) => {
    if (recovered !== false) return;
    kept.leave(); // more has happened than is kept: the picture comes anew
    picture.clear();
    enterCanvas();
  });
  kept.on("stroke", (stroke) => picture.finish(stroke));
  kept.on("undone", (what) => picture.undo(what));
  kept.on("cleared", ({ by }) => {
    picture.clear();
    mine.length = 0;
    $("undo").disabled = true;
    $("problem").textContent = `${by} cleared the canvas`;
  });
  kept.presence.on("change", () => {
    const { count } = kept.presence;
    $("people").textContent = count === 1 ? "You are alone here" : `${count} people are here`;
  });
}

async function ask(room, what, data) {
  try {
    await room.send(what, data);
    $("problem").textContent = "";
  } catch (error) {
    $("problem").textContent = `Not done: ${error.detail}`;
  }
}

const quietly = (sent) => sent.catch(() => {}); // the next one is newer

// Drawing: a pen, a mouse, a finger or the keyboard

let line = null; // the one that is being made
let told = 0; // of its numbers, so many have been sent
let spot = null; // where the pointer is, if the others do not know yet
let timer = 0;

function begin(x, y) {
  const { tool, colour, width } = Object.fromEntries(new FormData($("tools")));
  const wide = Number(width) * (tool === "pen" ? 1 : 3);
  line = { id: crypto.getRandomValues(new Uint32Array(2)).join("").slice(0, 16), tool, colour: Number(colour), width: wide, points: [] };
  told = 0;
  extend(x, y);
}

function extend(x, y) {
  const point = [x, y].map(Math.round);
  const fresh = line.points.length ? point : [...point, ...point]; // a dot is a line from where it is to where it is
  line.points.push(...fresh);
  picture.move({ ...line, by: rooms.user, points: fresh });
  soon();
  if (line.points.length > LONGEST) {
    end();
    begin(x, y);
  }
}

function end() {
  if (!line) return;
  const done = line;
  line = null;
  picture.finish({ ...done, by: rooms.user });
  mine.push(done.id);
  $("undo").disabled = false;
  ask(kept, "stroke", done);
}

function soon() {
  timer ||= setTimeout(() => {
    timer = 0;
    if (rooms.state !== "connected") return;
    if (line && told < line.points.length) {
      const from = Math.max(0, told - 2); // from the last point that they have
      quietly(moving.send("part", { ...line, points: line.points.slice(from) }));
      told = line.points.length;
    }
    if (spot) quietly(moving.send("cursor", spot));
    spot = null;
  }, EVERY);
}

function placed({ offsetX, offsetY }) {
  const { clientWidth, clientHeight } = surface;
  const near = (value) => Math.min(17_000, Math.max(-1_000, value)); // a pen may leave the paper, not the table
  return [near((offsetX / clientWidth) * WIDTH), near((offsetY / clientHeight) * HEIGHT)];
}

const surface = $("moving");
surface.addEventListener("pointerdown", (event) => {
  if (event.button || !event.isPrimary) return;
  surface.setPointerCapture(event.pointerId);
  begin(...placed(event));
});
surface.addEventListener("pointermove", (event) => {
  if (!event.isPrimary) return;
  const points = event.getCoalescedEvents?.() ?? [];
  if (line) for (const one of points.length ? points : [event]) extend(...placed(one));
  const [x, y] = placed(event).map(Math.round);
  spot = { x, y };
  soon();
});
for (const over of ["pointerup", "pointercancel", "lostpointercapture"]) surface.addEventListener(over, end);

const pen = { x: WIDTH / 2, y: HEIGHT / 2 };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
surface.addEventListener("keydown", (event) => {
  if (event.key === " ") line ? end() : begin(pen.x, pen.y);
  else if (event.key in ARROWS) {
    const [x, y] = ARROWS[event.key];
    pen.x = Math.min(WIDTH, Math.max(0, pen.x + x * STEP));
    pen.y = Math.min(HEIGHT, Math.max(0, pen.y + y * STEP));
    if (line) extend(pen.x, pen.y);
    spot = { ...pen };
    soon();
    point({ ...pen, by: "us", name: "Your pen" });
  } else return;
  event.preventDefault();
});
surface.addEventListener("blur", end);

// Others' pointers

const pointers = new Map();

function point({ by, name, x, y }) {
  let shown = pointers.get(by);
  if (!shown) {
    const element = document.createElement("div");
    element.className = "pointer";
    element.append(document.createElement("span"));
    $("pointers").append(element);
    pointers.set(by, (shown = { element, idle: 0 }));
  }
  shown.element.firstChild.textContent = name;
  shown.element.style.transform = `translate(${(x / WIDTH) * surface.clientWidth}px, ${(y / HEIGHT) * surface.clientHeight}px)`;
  clearTimeout(shown.idle);
  shown.idle = setTimeout(() => {
    shown.element.remove();
    pointers.delete(by);
  }, IDLE_AFTER);
}

// Tools

for (const [number, [label, colour]] of COLOURS.entries()) {
  const choice = document.createElement("label");
  choice.innerHTML = `<input type="radio" name="colour" value="${number}"><svg viewBox="0 0 2 2" aria-hidden="true"><rect width="2" height="2"/></svg><span class="unseen"></span>`;
  choice.querySelector("rect").setAttribute("fill", colour);
  choice.querySelector("span").textContent = label;
  choice.querySelector("input").checked = number === 0;
  $("colours").append(choice);
}

function takeBack() {
  const id = mine.pop();
  $("undo").disabled = !mine.length;
  if (id) ask(kept, "undo", { id });
}
$("undo").addEventListener("click", takeBack);
addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !event.target.matches?.("input[type=text]")) takeBack();
});

$("clear").addEventListener("click", () => $("sure").showModal());
$("sure").addEventListener("close", () => $("sure").returnValue === "yes" && ask(kept, "clear"));

$("export").addEventListener("click", async () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await picture.png());
  link.download = `${canvas}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
});

// Coming in

function enter() {
  $("door").hidden = true;
  $("studio").hidden = false;
  document.querySelector("live-state").hidden = false;
  connect();
}

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  name = $("name").value.trim();
  try {
    [token, signedIn] = [await signIn(name), performance.now()];
  } catch (error) {
    $("sign-in-problem").textContent = error.message;
    return;
  }
  sessionStorage.setItem("name", name);
  enter();
});

document.querySelector("live-state").watch(badge);
document.title = `${canvas} · draw · fastapi-rooms`;
if (name) enter();
else {
  $("door").hidden = false;
  $("name").focus();
}
