// Shows one example's source with line numbers and a little colour.

const name = location.pathname.split("/").at(-1);
const TOKENS = new RegExp(
  [
    /(?<string>"""[\s\S]*?"""|f?"(?:\\.|[^"\\\n])*")/,
    /(?<comment>#.*)/,
    /(?<decorator>^[ \t]*@[\w.]+)/,
    /\b(?<keyword>async|await|def|class|return|for|in|while|if|else|or|and|not|is|with|from|import|as|True|False|None|yield)\b/,
  ]
    .map(({ source }) => source)
    .join("|"),
  "gm",
);

const isPython = name.endsWith(".py");

function* pieces(text) {
  if (!isPython) return yield [null, text];
  let end = 0;
  for (const match of text.matchAll(TOKENS)) {
    yield [null, text.slice(end, match.index)];
    yield [Object.keys(match.groups).find((kind) => match.groups[kind] !== undefined), match[0]];
    end = match.index + match[0].length;
  }
  yield [null, text.slice(end)];
}

function show(text) {
  let line = document.createElement("span");
  const lines = [line];
  for (const [kind, piece] of pieces(text.trimEnd())) {
    piece.split("\n").forEach((part, index) => {
      if (index) lines.push((line = document.createElement("span")));
      if (!part) return;
      const span = document.createElement("span");
      if (kind) span.className = kind;
      span.textContent = part;
      line.append(span);
    });
  }
  for (const each of lines) each.className = "line";
  document.getElementById("code").replaceChildren(...lines);
}

document.getElementById("code").classList.toggle("prose", !isPython);
document.title = `${name} · fastapi-rooms`;
document.getElementById("file").textContent = name;
document.querySelector("h1").textContent = name;
document.getElementById("raw").href = `${name}/text`;
show(await (await fetch(`${name}/text`)).text());
