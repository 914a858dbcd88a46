// The list of an inbox, newest first: one row is current, and j, k and arrows move from there.

import { AlertRow } from "./alert-row.js";

const AGED_EVERY = 10_000; // ms

export class AlertList {
  /** Shows those alone that nobody has acknowledged. */
  openOnly = false;

  #element;
  #inbox;
  #acknowledge;
  #changed;
  #rows = new Map(); // by the alert's id
  #busy = new Set(); // ids that we are acknowledging
  #fresh = new Set();
  #current = null; // id

  /**
   * @param {HTMLElement} element the list
   * @param {import("./inbox.js").Inbox} inbox what it shows
   * @param {(id: string) => Promise<void>} acknowledge asks the server
   * @param {() => void} changed told when something was read
   */
  constructor(element, inbox, { acknowledge, changed }) {
    this.#element = element;
    this.#inbox = inbox;
    this.#acknowledge = acknowledge;
    this.#changed = changed;
    element.addEventListener("focusin", ({ target }) => this.#look(target.closest("li").dataset.id));
    addEventListener("keydown", (event) => this.#press(event));
    setInterval(() => this.#rows.forEach((row) => row.age()), AGED_EVERY);
  }

  get length() {
    return this.#rows.size;
  }

  /** The next time that it is shown, it comes in. */
  expect(id) {
    this.#fresh.add(id);
  }

  render() {
    const alerts = this.#shown();
    const place = [...this.#element.children].findIndex(({ dataset }) => dataset.id === this.#current);
    const hadFocus = this.#hasFocus;
    this.#drop(new Set(alerts.map(({ id }) => id)));
    let next = this.#element.firstChild; // what is in its place stays there, and keeps the focus
    for (const alert of alerts) {
      const { element } = this.#show(alert);
      if (element === next) next = next.nextSibling;
      else this.#element.insertBefore(element, next);
    }
    this.#fresh.clear();
    if (this.#rows.has(this.#current)) return;
    const near = alerts[Math.min(Math.max(place, 0), alerts.length - 1)];
    this.#go(near?.id ?? null, { focus: hadFocus });
  }

  async acknowledge(id) {
    if (this.#busy.has(id) || this.#inbox.acknowledgement(id)) return;
    this.#go(id); // the button goes, and the focus must not
    this.#busy.add(id);
    this.render();
    await this.#acknowledge(id);
    this.#busy.delete(id);
    this.render();
  }

  get #hasFocus() {
    return this.#element.contains(document.activeElement);
  }

  #shown() {
    return this.#inbox.list({ open: this.openOnly });
  }

  #drop(ids) {
    for (const [id, { element }] of this.#rows) {
      if (ids.has(id)) continue;
      element.remove();
      this.#rows.delete(id);
    }
  }

  #show(alert) {
    const { id } = alert;
    let row = this.#rows.get(id);
    if (!row) {
      this.#rows.set(id, (row = new AlertRow(alert, () => this.acknowledge(id))));
      if (this.#fresh.has(id)) row.markFresh();
    }
    const acknowledged = this.#inbox.acknowledgement(id);
    row.show({ unread: this.#inbox.isUnread(id), busy: this.#busy.has(id), acknowledged });
    return row;
  }

  #go(id, { focus = true } = {}) {
    this.#rows.get(this.#current)?.mark(false);
    this.#current = id;
    this.#rows.get(id)?.mark(true);
    if (focus) this.#rows.get(id)?.element.focus();
  }

  #look(id) {
    if (id !== this.#current) this.#go(id, { focus: false });
    if (!this.#inbox.isUnread(id)) return;
    this.#inbox.read(id);
    this.#changed();
  }

  #move(step) {
    const ids = this.#shown().map(({ id }) => id);
    const at = this.#hasFocus ? ids.indexOf(this.#current) + step : 0;
    if (ids.length) this.#go(ids[Math.min(ids.length - 1, Math.max(0, at))]);
  }

  #press(event) {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || target.matches?.("input[type=text]")) return;
    const isHere = this.#hasFocus; // elsewhere arrows scroll
    if (key === "j" || (isHere && key === "ArrowDown")) this.#move(1);
    else if (key === "k" || (isHere && key === "ArrowUp")) this.#move(-1);
    else if (isHere && key === "a") this.acknowledge(this.#current);
    else return;
    event.preventDefault();
  }
}
