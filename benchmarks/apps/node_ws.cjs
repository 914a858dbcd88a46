// Node's `ws`: "Server broadcast" of its README. Arguments: where ws is installed, host, port, and "deflate" or nothing.
"use strict";
const [folder, host, port, deflate] = process.argv.slice(2);
const { WebSocket, WebSocketServer } = require(`${folder}/node_modules/ws`);

const server = new WebSocketServer({ host, port: Number(port), backlog: 2048, perMessageDeflate: deflate === "deflate" });

server.on("connection", (client) => {
  client.on("message", (data, isBinary) => {
    for (const other of server.clients) {
      if (other.readyState === WebSocket.OPEN) other.send(data, { binary: isBinary });
    }
  });
});
