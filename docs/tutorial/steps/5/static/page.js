const $ = id => document.getElementById(id)
let name = sessionStorage.getItem("name")
let socket, position
let failures = 0

$("title").textContent = document.title = location.pathname.slice(1)
for (const link of document.links) if (link.pathname === location.pathname) link.ariaCurrent = "page"
if (name) connect()

$("door").onsubmit = event => {
  event.preventDefault()
  sessionStorage.setItem("name", name = $("name").value.trim())
  connect()
}

async function signIn() {
  const headers = { "Content-Type": "application/json" }
  const answer = await fetch("/token", { method: "POST", headers, body: JSON.stringify({ name }) })
  return (await answer.json()).token
}

async function connect() {
  $("door").hidden = true
  document.querySelector("main").hidden = false
  const old = [...$("log").children]
  try {
    const since = position ? `?since=${position}` : ""
    socket = new WebSocket(location.pathname + since, ["access_token", await signIn()])
  } catch {
    return comeBack()
  }
  socket.onopen = () => tell("Live")
  socket.onclose = ({ code, reason }) => code >= 4500 ? tell(`Closed: ${code} ${reason}`) : comeBack()
  socket.onmessage = ({ data }) => receive(JSON.parse(data), old)
}

addEventListener("offline", () => socket?.close())

function comeBack() {
  tell("Reconnecting")
  setTimeout(connect, Math.random() * Math.min(20_000, 500 * 2 ** failures++))
}

function receive(message, old) {
  failures = 0
  if (message.people) list(message.people)
  else if (message.recovered === false) old.forEach(item => item.remove())
  else if (message.text) {
    position = message.position
    show(message)
  }
}

function list(people) {
  $("people").replaceChildren(...people.map(person => {
    const item = document.createElement("li")
    item.textContent = person
    return item
  }))
}

function tell(state) {
  $("state").textContent = $("state").className = state
}

function show({ from, text }) {
  const item = document.createElement("article")
  item.className = from === name ? "mine" : ""
  item.append(document.createElement("b"), document.createElement("p"))
  item.firstChild.textContent = from
  item.lastChild.textContent = text
  $("log").append(item)
  if ($("log").children.length > 200) $("log").firstChild.remove()
  $("log").scrollTop = $("log").scrollHeight
}

$("say").onsubmit = event => {
  event.preventDefault()
  if (socket?.readyState !== WebSocket.OPEN) return
  socket.send($("text").value)
  $("say").reset()
}
