import { Rooms } from "/live/rooms.js"

const $ = id => document.getElementById(id)
const STATES = { connecting: "Connecting", connected: "Live", waiting: "Reconnecting", closed: "Closed" }
let name = sessionStorage.getItem("name")

$("title").textContent = document.title = location.pathname.slice(1)
for (const link of document.links) if (link.pathname === location.pathname) link.ariaCurrent = "page"
if (name) enter()

$("door").onsubmit = event => {
  event.preventDefault()
  sessionStorage.setItem("name", name = $("name").value.trim())
  enter()
}

async function signIn() {
  const headers = { "Content-Type": "application/json" }
  const answer = await fetch("/token", { method: "POST", headers, body: JSON.stringify({ name }) })
  return (await answer.json()).token
}

function enter() {
  $("door").hidden = true
  document.querySelector("main").hidden = false
  const rooms = new Rooms("/live", { token: signIn })
  const room = rooms.join(location.pathname.slice(1))
  rooms.on("state", state => tell(STATES[state]))
  room.on("joined", ({ recovered }) => { if (recovered === false) $("log").replaceChildren() })
  room.on("said", show)
  room.presence.on("change", people => list(Object.keys(people)))
  $("say").onsubmit = event => {
    event.preventDefault()
    const text = $("text").value
    $("say").reset()
    room.send("say", { text }, { timeout: null }).then(() => tell("Live"), error => {
      $("text").value ||= text
      tell(`Not sent: ${error.detail}`)
    })
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

function show(said) {
  const item = document.createElement("article")
  item.className = said.name === name ? "mine" : ""
  item.append(document.createElement("b"), document.createElement("p"))
  item.firstChild.textContent = said.name
  item.lastChild.textContent = said.text
  $("log").append(item)
  if ($("log").children.length > 200) $("log").firstChild.remove()
  $("log").scrollTop = $("log").scrollHeight
}
