// The cards are alive: who is in each example, and how many messages a second go out, while this page is open.

import "./charts.js";
import { Rooms } from "../live/rooms.js";
import { Badge } from "./hub.js";

const SPAN = 60;
const rates = new Map(); // of each example, the last minute

const rooms = new Rooms("live");
const badge = new Badge();
badge.show(rooms);
document.querySelector("live-state").watch(badge);

const perSecond = (rate) => `${rate < 9.95 ? rate.toFixed(1) : Math.round(rate)}/s`;

function pulse(card, { connections, rate }) {
  const past = [...(rates.get(card) ?? []), rate].slice(-SPAN);
  rates.set(card, past);
  card.querySelector("line-chart").draw([{ values: past }], { least: 2, format: perSecond });
  card.querySelector(".now").textContent = `${connections} connected · ${perSecond(rate)}`;
}

function processes({ broker, connected, peers }) {
  if (!broker) return "One process, no broker";
  if (!connected) return `${broker} is out of reach: each process speaks for itself`;
  return `${broker}, ${peers + 1} ${peers ? "processes" : "process"}`;
}

rooms.join("gallery").on("seen", (seen) => {
  for (const [name, example] of Object.entries(seen.examples)) {
    const card = document.querySelector(`[data-example="${name}"]`);
    if (card) pulse(card, example);
  }
  document.getElementById("broker").textContent = processes(seen);
});

rooms.on("state", (state) => document.querySelector(".cards").toggleAttribute("data-stale", state !== "connected"));

// The source of each example, fetched when somebody wants to see it.

for (const details of document.querySelectorAll(".code")) {
  details.addEventListener("toggle", async () => {
    const shown = details.querySelector("pre");
    if (details.open && !shown.textContent) shown.textContent = await (await fetch(shown.dataset.source)).text();
  });
}
