// A hub's connection for pages that sign in with a name: <live-state> shows how it is doing, as it does for live.js.

import "./live.js";

const STATES = { connecting: "connecting", connected: "live", waiting: "waiting", closed: "ended" };

/** What <live-state> watches, for a `Rooms`. */
export class Badge extends EventTarget {
  state = "connecting";
  reason = "";
  retryAt = 0;

  /** @param {import("../../js/rooms.js").Rooms} rooms another one after each sign-in */
  show(rooms) {
    rooms.on("state", (state) => this.#enter(STATES[state]));
    rooms.on("close", ({ code, reason }) => code !== 1000 && this.#enter("ended", reason || `code ${code}`));
    this.#enter(STATES[rooms.state]);
  }

  /** "Connect again" of a page that may not come back by itself. */
  start() {
    location.reload();
  }

  #enter(state, reason = "") {
    this.state = state;
    this.reason = reason;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

/** A token for a name, which is all that the examples ask for. */
export async function signIn(name) {
  const answer = await fetch("token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name }),
  });
  if (!answer.ok) throw new Error(answer.status === 422 ? "That name will not do: 1 to 24 characters." : "The sign-in failed.");
  return (await answer.json()).token;
}
