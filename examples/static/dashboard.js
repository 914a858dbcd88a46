import "./charts.js";
import { Live } from "./live.js";

const SPAN = 60;
const $ = (id) => document.getElementById(id);
const live = new Live("ws", { greeted: true, silence: 8_000 });

let past = [];
let answers = [];
let lastAnswer = null;

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

function draw() {
  const latest = past.at(-1);
  if (!latest) return;
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

  if (lastAnswer !== null) show("answer", null, milliseconds(lastAnswer));
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
  $("clock").textContent = new Date(latest.at * 1000).toLocaleTimeString();
}

const receive = {
  history({ figures }) {
    past = figures;
    answers = figures.map(() => null); // measured by this page, so not before it came
  },
  figures(figures) {
    past.push(figures);
    answers.push(lastAnswer);
    if (past.length > SPAN) [history, answers] = [past.slice(-SPAN), answers.slice(-SPAN)];
    live.send(JSON.stringify({ type: "ping", sent: performance.now() }));
  },
  ping({ sent }) {
    lastAnswer = performance.now() - sent;
  },
};

live.addEventListener("message", ({ detail }) => {
  const message = JSON.parse(detail);
  receive[message.type]?.(message);
  if (message.type !== "ping") draw();
});

live.addEventListener("state", ({ detail }) => {
  $("content").toggleAttribute("data-stale", detail !== "live" && past.length > 0);
});

document.querySelector("live-state").watch(live);
live.start();
