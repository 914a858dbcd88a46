// What a page knows of alerts, kept in this browser: with the position up to which it goes, so that a page that comes
// back asks for the rest alone. Alerts and acknowledgements may come in any order.

const MOST = 400; // alerts; older ones are forgotten

/** Tells "change" where another tab of the same user has read something. */
export class Inbox extends EventTarget {
  /** Of the last message that is in here. */
  position = undefined;

  #key;
  #alerts = new Map(); // by id, oldest first
  #acknowledged = new Map(); // by the alert's id
  #read = new Set(); // ids
  #saving = 0;

  /** @param {string} user whose it is */
  constructor(user) {
    super();
    this.#key = `fastapi-rooms notify ${user}`;
    try {
      const { position, alerts, acknowledged, read } = JSON.parse(localStorage.getItem(this.#key));
      this.#alerts = new Map(alerts);
      this.#acknowledged = new Map(acknowledged);
      this.#read = new Set(read);
      this.position = position;
    } catch {
      // nothing was kept, or nothing of ours
    }
    addEventListener("pagehide", () => this.#save());
    addEventListener("storage", ({ key, newValue }) => key === this.#key && newValue && this.#readElsewhere(JSON.parse(newValue)));
  }

  /** Whether it is new. */
  add(alert, position) {
    const isNew = !this.#alerts.has(alert.id);
    if (isNew) this.#alerts.set(alert.id, alert);
    this.#advance(position);
    return isNew;
  }

  /** The first one counts. */
  acknowledge(said, position) {
    if (!this.#acknowledged.has(said.id)) this.#acknowledged.set(said.id, said);
    this.#advance(position);
  }

  acknowledgement(id) {
    return this.#acknowledged.get(id);
  }

  has(id) {
    return this.#alerts.has(id);
  }

  isUnread(id) {
    return this.has(id) && !this.#read.has(id) && !this.#acknowledged.has(id);
  }

  read(...ids) {
    for (const id of ids) this.#read.add(id);
    this.#saveSoon();
  }

  readAll() {
    this.read(...this.#alerts.keys());
  }

  /** Newest first. */
  list({ open = false } = {}) {
    return [...this.#alerts.values()].filter(({ id }) => !open || !this.#acknowledged.has(id)).sort((a, b) => b.at - a.at);
  }

  get unread() {
    return [...this.#alerts.keys()].filter((id) => this.isUnread(id)).length;
  }

  /** They come anew; what has been read stays read. */
  forget() {
    this.#alerts.clear();
    this.#acknowledged.clear();
    this.position = undefined;
    this.#saveSoon();
  }

  #readElsewhere({ read }) {
    for (const id of read) this.#read.add(id);
    this.dispatchEvent(new Event("change"));
  }

  #advance(position) {
    this.position = position ?? this.position;
    for (const known of [this.#alerts, this.#acknowledged, this.#read])
      for (const id of known.keys()) {
        if (known.size <= MOST) break;
        known.delete(id);
      }
    this.#saveSoon();
  }

  #saveSoon() {
    this.#saving ||= setTimeout(() => this.#save());
  }

  #save() {
    clearTimeout(this.#saving);
    this.#saving = 0;
    const all = {
      position: this.position,
      alerts: [...this.#alerts],
      acknowledged: [...this.#acknowledged],
      read: [...this.#read],
    };
    try {
      localStorage.setItem(this.#key, JSON.stringify(all));
    } catch {
      // full, or forbidden: then the server sends the latest ones
    }
  }
}
