import "./charts.js";
import { Live } from "./live.js";
import { roundTrip } from "./stall.js";

const $ = (id) => document.getElementById(id);
const live = new Live("ws");

// One connection receives its answers in the order of its questions, so a queue says which question this answers.
const waiting = [];
const times = [];
let cameBack = 0;

const milliseconds = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0));
const preview = (data) => {
  if (typeof data === "string") return data;
  const bytes = [...new Uint8Array(data.slice(0, 16))].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return data.byteLength > 16 ? `${bytes} … ${data.byteLength} bytes` : bytes;
};
const isSame = (sent, received) => {
  if (typeof sent === "string" || typeof received === "string") return sent === received;
  const [a, b] = [new Uint8Array(sent), new Uint8Array(received)];
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
};

function send(data, item) {
  const at = performance.now();
  if (live.send(data)) waiting.push({ data, at, item });
  else if (item) settle(item, "lost", "not connected");
}

function settle(item, outcome, words) {
  item.dataset.outcome = outcome;
  item.querySelector(".time").textContent = words;
}

function list(kind, data) {
  const item = document.createElement("li");
  for (const [name, text] of [["kind", kind], ["body", preview(data)], ["time", "on its way"]]) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    item.append(part);
  }
  $("log").prepend(item);
  while ($("log").children.length > 50) $("log").lastElementChild.remove();
  return item;
}

live.addEventListener("message", ({ detail }) => {
  const { data, at, item } = waiting.shift() ?? {};
  if (at === undefined) return;
  const time = performance.now() - at;
  times.push(time);
  roundTrip(time);
  if (times.length > 60) times.shift();
  cameBack++;
  if (item) settle(item, isSame(data, detail) ? "same" : "changed", `${isSame(data, detail) ? "same" : "changed"}, ${milliseconds(time)} ms`);
  const sorted = times.toSorted((a, b) => a - b);
  $("latest").textContent = milliseconds(time);
  $("median").textContent = `${milliseconds(sorted[sorted.length >> 1])} ms`;
  $("slowest").textContent = `${milliseconds(sorted.at(-1))} ms`;
  $("count").textContent = cameBack;
  $("times").draw([{ values: times }], { least: 2, format: (value) => `${milliseconds(value)} ms` });
});

live.addEventListener("state", ({ detail }) => {
  $("send").disabled = detail !== "live";
  if (detail === "live") beat();
  else for (const { item } of waiting.splice(0)) if (item) settle(item, "lost", "lost on the way");
});

const beat = () => $("beat").checked && send("beat");
setInterval(beat, 1000);

const kind = () => new FormData($("form")).get("kind");

function showField() {
  for (const name of ["text", "json", "binary"]) $(`${name}-field`).hidden = name !== kind();
  $("problem").textContent = "";
}
$("form").addEventListener("change", showField);
showField();

const compose = {
  text: () => $("text").value,
  json: () => JSON.stringify(JSON.parse($("json").value)),
  binary: () => crypto.getRandomValues(new Uint8Array(Number($("size").value))).buffer,
};

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("problem").textContent = "";
  try {
    const data = compose[kind()]();
    send(data, list(kind(), data));
  } catch (error) {
    $("problem").textContent = `That is not JSON: ${error.message}`;
  }
});

document.querySelector("live-state").watch(live);
live.start();
