const $ = id => document.getElementById(id)
const name = new URLSearchParams(location.search).get("name") ?? "guest"
const socket = new WebSocket(`/chat?name=${encodeURIComponent(name)}`)

socket.onopen = () => tell("Live")
socket.onclose = () => tell("Gone")
socket.onmessage = ({ data }) => show(JSON.parse(data))

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
