// One alert in the list: made once, and shown anew whenever something about it has changed.

const SVG = "http://www.w3.org/2000/svg";
const relative = new Intl.RelativeTimeFormat("en", { style: "short" });
const absolute = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });
const UNITS = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 10]];

/** Not by colour alone: each has a shape and a word, too. */
export const SEVERITIES = { info: "Info", warning: "Warning", critical: "Critical" };

/** How long ago, in words; clocks that differ put nothing into the future. */
export function ago(seconds) {
  const age = Date.now() / 1000 - seconds;
  const [unit, size] = UNITS.find(([, size]) => age >= size) ?? [];
  if (!unit) return "just now";
  return relative.format(unit === "second" ? -Math.floor(age / 10) * 10 : -Math.floor(age / size), unit);
}

function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}

function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

function time(seconds) {
  const made = element("time", "", ago(seconds));
  made.dateTime = new Date(seconds * 1000).toISOString();
  made.title = absolute.format(seconds * 1000);
  made.dataset.at = seconds;
  return made;
}

export class AlertRow {
  #new = element("span", "new", "New");
  #button = element("button", "", "Acknowledge");
  #done = element("p", "done small");

  /** @param {(id: string) => void} acknowledge what the button does */
  constructor({ id, severity, text, source, at }, acknowledge) {
    const kind = severity in SEVERITIES ? severity : "info";
    this.element = element("li", `alert ${kind}`);
    this.element.tabIndex = -1;
    this.element.dataset.id = id;
    this.#button.type = "button";
    this.#button.setAttribute("aria-label", `Acknowledge: ${text}`);
    this.#button.addEventListener("click", () => acknowledge(id));
    const sign = element("span", "sign");
    sign.append(icon(kind));
    const from = element("p", "from small soft");
    from.append(element("b", "", SEVERITIES[kind]), ` · ${source} · `, time(at));
    const what = element("div", "what");
    const words = element("p", "text", text);
    words.append(" ", this.#new);
    what.append(words, from);
    const act = element("div", "act");
    act.append(this.#button, this.#done);
    this.element.append(sign, what, act);
    this.mark(false);
  }

  /** @param {{ unread: boolean, busy: boolean, acknowledged?: { by: string, at: number } }} is */
  show({ unread, busy, acknowledged }) {
    this.element.classList.toggle("unread", unread);
    this.element.classList.toggle("acknowledged", Boolean(acknowledged));
    this.#new.classList.toggle("seen", !unread); // it keeps its place, so that nothing moves beneath a pointer that is pressed
    this.#button.hidden = Boolean(acknowledged);
    this.#button.disabled = busy;
    this.#done.hidden = !acknowledged;
    if (!acknowledged || this.#done.firstChild) return;
    this.#done.append(icon("done"), element("b", "", acknowledged.by), " ", time(acknowledged.at));
    this.#done.prepend(element("span", "unseen", "Acknowledged by "));
  }

  /** Whether it is the one that the arrows have come to: Tab gets to that one, and to its button. */
  mark(isCurrent) {
    this.element.tabIndex = this.#button.tabIndex = isCurrent ? 0 : -1;
  }

  /** It came while somebody was looking. */
  markFresh() {
    this.element.classList.add("fresh");
  }

  age() {
    for (const one of this.element.querySelectorAll("time")) one.textContent = ago(Number(one.dataset.at));
  }
}
