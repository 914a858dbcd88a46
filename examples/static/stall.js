// "Stall a client": a connection that takes nothing, and the figures that the server has of it until it is closed.

const $ = (id) => document.getElementById(id);
const SEND_TIMEOUT = 5; // seconds: QueueLimits.send_timeout
const PATIENCE = 20_000; // ms
const kilobytes = (bytes) => `${Math.round(bytes / 1000).toLocaleString()} kB`;

let slowest = 0;
let running = false;

/** A round trip of the page's own connection: what others feel of the one that stalls. */
export function roundTrip(milliseconds) {
  if (running) slowest = Math.max(slowest, milliseconds);
}

function show({ queued, queued_bytes: bytes, oldest_queued_age: age, sent_bytes: sent }) {
  $("stall-queued").textContent = `${queued} · ${kilobytes(bytes)}`;
  $("stall-sent").textContent = kilobytes(sent);
  $("stall-age").textContent = `${age.toFixed(1)} of ${SEND_TIMEOUT} s`;
  $("stall-meter").value = Math.min(age, SEND_TIMEOUT);
}

/** Of several workers it is one that knows, so not every answer says something. */
async function look(id) {
  const answer = await fetch(`clients/${id}`);
  return answer.json();
}

/** A WebSocket is read by the browser, whatever the page does; a stream, as the page reads it. Ours reads one message. */
async function stall() {
  const url = new URL("flood", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const stream = new WebSocketStream(url.href);
  stream.closed.catch(() => {}); // as the server will have it, before long
  const reader = (await stream.opened).readable.getReader();
  const { value: id } = await reader.read();
  const since = performance.now();
  while (performance.now() - since < PATIENCE) {
    const found = await look(id);
    if (found?.reason) return { ...found, after: (performance.now() - since) / 1000 };
    if (found) show(found);
  }
  stream.close();
  throw new Error("The server has not closed it.");
}

function told({ reason, code, after }) {
  if (code !== 4008) return `It has ended: ${reason} (${code}).`;
  const others = slowest ? ` Your slowest round trip meanwhile took ${slowest.toFixed(1)} ms.` : "";
  return `Closed after ${after.toFixed(1)} s with ${code}: slow consumer. What waited for it is freed.${others}`;
}

$("stall").addEventListener("click", async () => {
  slowest = 0;
  running = $("stall").disabled = true;
  $("stall-figures").hidden = false;
  $("stall-outcome").textContent = "It takes nothing, and the server sends.";
  try {
    $("stall-outcome").textContent = told(await stall());
  } catch (error) {
    $("stall-outcome").textContent = error.message;
  }
  running = $("stall").disabled = false;
});

if (!("WebSocketStream" in window)) {
  $("stall").disabled = true;
  $("stall-outcome").textContent = "This browser reads a WebSocket whatever the page does, so nothing here can stall. Chromium can (WebSocketStream).";
}
