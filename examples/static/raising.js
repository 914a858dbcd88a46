// Ways to raise an alert: buttons that do it by HTTP, and lines to copy that do it from elsewhere.

const $ = (id) => document.getElementById(id);
const COPIED_FOR = 2_000; // ms
const SAMPLES = {
  info: ["Release 4.2 is out", "The certificate was renewed for 90 days", "A hundred people are in the chat"],
  warning: ["The disk of db-2 is at 91 %", "Sign-ins take 800 ms at p99", "One worker of four starts again and again"],
  critical: ["db-1 is down", "No payment has come through for two minutes", "Nobody can sign in"],
};

const sampleOf = (severity) => SAMPLES[severity][Math.floor(Math.random() * SAMPLES[severity].length)];

function showLine(id, shown, whole = shown) {
  $(id).textContent = shown;
  $(id).dataset.whole = whole;
}

/** The lines, for whoever has this token. */
export function showLines(token, { broker }) {
  const text = "db-1 down";
  const curl = (key) =>
    [
      `curl ${new URL("alerts", location.href)}`,
      `-H "Authorization: Bearer ${key}"`,
      '-H "Content-Type: application/json"',
      `-d '${JSON.stringify({ severity: "critical", text })}'`,
    ].join(" \\\n  ");
  showLine("curl", curl(`${token.slice(0, 8)}…`), curl(token));
  showLine("command", `python -m fastapi_rooms publish alerts \\\n  "critical: ${text}" \\\n  --prefix notify --broker "$ROOMS_BROKER"`);
  $("by-command").hidden = !broker;
  $("no-command").hidden = broker;
}

async function copy(button) {
  try {
    await navigator.clipboard.writeText($(button.dataset.copy).dataset.whole);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => (button.textContent = "Copy"), COPIED_FOR);
}

/**
 * Make the buttons work.
 *
 * @param {(path: string, body: object) => Promise<Response>} post
 * @param {(problem: string) => void} tell
 */
export function makeButtons(post, tell) {
  async function attempt(what, path, body) {
    try {
      const answer = await post(path, body);
      tell(answer.ok ? "" : `${what}: ${(await answer.json()).detail}`);
      return answer.ok;
    } catch {
      tell(`${what}: the server is out of reach.`);
      return false;
    }
  }

  for (const button of document.querySelectorAll("[data-raise]")) {
    const { raise: severity } = button.dataset;
    button.addEventListener("click", () => attempt("Not raised", "alerts", { severity, text: sampleOf(severity) }));
  }
  for (const button of document.querySelectorAll("[data-backup]"))
    button.addEventListener("click", async () => {
      const isBegun = await attempt("Not begun", "backups", { fails: button.dataset.backup === "fails" });
      if (isBegun) $("working").textContent = "A backup runs. It says how it went in three seconds.";
    });
  for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));
}

/** A backup has said how it went. */
export function backupDone() {
  $("working").textContent = "The backup has said how it went.";
}
