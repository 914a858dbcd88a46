const $ = id => document.getElementById(id)
let name = sessionStorage.getItem("name")
let socket

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
  socket = new WebSocket(location.pathname, ["access_token", await signIn()])
  socket.onopen = () => tell("Live")
  socket.onclose = ({ code, reason }) => tell(`Closed: ${code} ${reason}`)
  socket.onmessage = ({ data }) => show(JSON.parse(data))
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
  socket.send($("text").value)
  $("say").reset()
}
