"""uWebSockets through socketify: its own publish to a topic, in C++."""

import sys

from socketify import App, AppListenOptions, CompressOptions, OpCode, WebSocket

from benchmarks.machine import HOST

PORT = int(sys.argv[1])
DEFLATE = "deflate" in sys.argv

app = App()


def opened(websocket: WebSocket) -> None:
    websocket.subscribe("general")


def message(websocket: WebSocket, text: str, opcode: OpCode) -> None:
    app.publish("general", text, OpCode.TEXT, DEFLATE)


app.ws(
    "/ws",
    {
        "compression": CompressOptions.SHARED_COMPRESSOR if DEFLATE else CompressOptions.DISABLED,
        "idle_timeout": 0,
        "open": opened,
        "message": message,
    },
)
app.listen(AppListenOptions(port=PORT, host=HOST), lambda config: None)
app.run()
