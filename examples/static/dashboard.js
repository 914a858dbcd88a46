import "./charts.js";
import { Live } from "./live.js";

const SPAN = 60;
const $ = (id) => document.getElementById(id);
const live = new Live("ws", { greeted: true, silence: 8_000 });

const NOTHING = { cores: [] }; // of a second in which nobody looked

let past = [];
let answers = []; // measured by this page, so null for what was before it came
let lastAnswer = null;
let drawing = 0;
let paused = false; // what comes meanwhile is kept, and drawn when the page catches up

const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const percent = (value) => `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} %`;
const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;
const size = (bytes) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** step;
  return `${value.toFixed(step === 0 || value >= 99.5 ? 0 : 1)} ${units[step]}`;
};
const rate = (bytes) => `${size(bytes)}/s`;

function show(number, unit, text) {
  const [value, name] = text.split(" ");
  $(number).textContent = value;
  if (unit) $(unit).textContent = name;
}

/** A table's rows, as text: names of rooms come from anybody. */
function fill(id, rows, cells) {
  $(id).tBodies[0].replaceChildren(
    ...rows.map((row) => {
      const line = document.createElement("tr");
      for (const [at, text] of cells(row).entries()) {
        const cell = document.createElement("td");
        cell.textContent = text;
        cell.className = at > 1 ? "number" : "";
        line.append(cell);
      }
      return line;
    }),
  );
}

function draw() {
  const latest = past.at(-1);
  if (!latest || paused) return;
  const cpu = past.map(({ cores }) => average(cores));
  const used = past.map(({ memory }) => memory);
  show("cpu", null, percent(cpu.at(-1)));
  $("cpu-chart").draw([{ values: cpu }], { top: 100, format: percent });
  $("load").textContent = latest.load.map((value) => value.toFixed(2)).join(" · ");

  show("memory", "memory-unit", size(latest.memory));
  $("memory-chart").draw([{ values: used }], { top: latest.memory_total, format: size });
  $("memory-share").textContent = percent((100 * latest.memory) / latest.memory_total);
  $("memory-total").textContent = size(latest.memory_total);

  show("network", "network-unit", rate(latest.received + latest.sent));
  const traffic = ["received", "sent"].map((name) => ({
    name: name === "sent" ? "out" : "in",
    values: past.map((figures) => figures[name]),
  }));
  $("network-chart").draw(traffic, { least: 1000, format: rate });
  $("received").textContent = rate(latest.received);
  $("sent").textContent = rate(latest.sent);

  const lags = past.map(({ lag }) => lag);
  $("answer-chart").draw([{ name: "answer", values: answers }, { name: "loop", values: lags }], { least: 5, format: milliseconds });
  $("lag").textContent = milliseconds(latest.lag);

  $("cores").draw(past.map(({ cores }) => cores.map((value) => value / 100)));
  $("core-count").textContent = latest.cores.length === 1 ? "One core" : `${latest.cores.length} cores`;
  $("process-memory").textContent = size(latest.process_memory);
  $("process-cpu").textContent = percent(latest.process_cpu);
  $("threads").textContent = latest.threads;
  $("viewer-count").textContent = latest.viewers;
  $("viewers").textContent = latest.viewers === 1 ? "One viewer is" : `${latest.viewers} viewers are`;
  fill("rooms", latest.rooms ?? [], ({ room, example, members, rate: each }) => [room, example, members, `${each.toFixed(1)}/s`]);
  fill("clients", latest.clients ?? [], ({ client, example, queued, queued_bytes: bytes, age, dropped }) => [
    client, example, `${queued}, ${size(bytes)}`, `${age.toFixed(1)} s`, dropped,
  ]);
  $("no-clients").hidden = latest.clients?.length > 0;
  $("clock").textContent = new Date(latest.at * 1000).toLocaleTimeString();
}

// The last minute comes at once, and is drawn once; whether it is the first of this page, or after a reconnect.

const receive = {
  figures(figures) {
    const before = past.at(-1)?.at ?? figures.at;
    for (let at = before + 1.5; at < figures.at; at++) add(NOTHING);
    add(figures);
    clearTimeout(drawing);
    drawing = setTimeout(() => {
      draw();
      live.send(JSON.stringify({ type: "ping", sent: performance.now() }));
    });
  },
  ping({ sent }) {
    lastAnswer = performance.now() - sent;
    show("answer", null, milliseconds(lastAnswer));
  },
};

function add(figures) {
  past = [...past, figures].slice(-SPAN);
  answers = [...answers, lastAnswer].slice(-SPAN);
}

live.addEventListener("message", ({ detail }) => {
  const message = JSON.parse(detail);
  receive[message.type]?.(message);
});

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").textContent = paused ? "Catch up" : "Pause";
  $("pause").setAttribute("aria-pressed", paused);
  $("content").toggleAttribute("data-paused", paused);
  draw();
});

live.addEventListener("state", ({ detail }) => {
  $("content").toggleAttribute("data-stale", detail !== "live" && past.length > 0);
  if (detail === "live") [past, answers, lastAnswer] = [[], [], null];
});

document.querySelector("live-state").watch(live);
live.start();
