"""The gallery: the examples in one application, each under its own path.

Run it with `python -m fastapi_rooms examples`, or from the checkout with `uvicorn examples.gallery:app`, then open
http://127.0.0.1:8000.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from fastapi_rooms import ConnectionManager
from fastapi_rooms.brokers import Broker

from . import chat, chat_hub, dashboard, draw, echo, game, notify
from .overview import overview

HERE = Path(__file__).parent
DOCS = next(HERE.parent.glob("*docs"))  # of the checkout, or those that the wheel brings
logger = logging.getLogger(__name__)


MANAGERS: dict[str, ConnectionManager[Any, Any]] = {
    "echo": echo.echo,
    "chat": chat.chat,
    "chat on a hub": chat_hub.hub,
    "dashboard": dashboard.dashboard,
    "draw": draw.hub,
    "notify": notify.hub,
    "game": game.hub,
}
overview.managers = MANAGERS
dashboard.dashboard.machine.busiest.managers = MANAGERS


@runtime_checkable
class KeepsTable(Protocol):
    """A broker that needs a table: PostgreSQL's."""

    async def create_schema(self) -> None: ...


async def prepare(broker: Broker | None) -> None:
    """Create the broker's table, so that any database will do. An application does this in its migrations.

    Where it cannot, the table may be there already; if not, the managers say that they miss it.
    """
    if broker is None or not isinstance(broker, KeepsTable):
        return
    try:
        async with asyncio.timeout(broker.timings.connect):
            await broker.create_schema()
    except Exception as error:  # noqa: BLE001 - drivers raise what they like
        logger.warning("%s: no table was created: %r", broker, error)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Starlette does not run the lifespans of mounted applications, so this one runs their managers'."""
    await prepare(chat.chat.broker)  # the others' use the same table
    async with AsyncExitStack() as stack:
        for manager in MANAGERS.values():
            await stack.enter_async_context(manager.lifespan(app))
        yield


dashboard.dashboard.machine.busiest.managers |= {
    "echo": echo.echo,
    "chat": chat.chat,
    "chat on a hub": chat_hub.hub,
    "draw": draw.hub,
}
app = FastAPI(title="fastapi-rooms examples", lifespan=lifespan)
app.mount("/static", StaticFiles(directory=HERE / "static"))
app.mount("/echo", echo.app)
app.mount("/chat", chat.app)
app.mount("/chat-hub", chat_hub.app)
app.mount("/dashboard", dashboard.app)
app.mount("/draw", draw.app)
app.mount("/notify", notify.app)
app.mount("/game", game.app)
app.include_router(overview.router, prefix="/live")


class Source(StrEnum):
    ECHO = "echo.py"
    CHAT = "chat.py"
    CHAT_HUB = "chat_hub.py"
    DASHBOARD = "dashboard.py"
    BUSIEST = "busiest.py"
    DRAW = "draw.py"
    NOTIFY = "notify.py"
    GAME = "game.py"
    ARENA = "arena.py"
    BEETLES = "beetles.py"
    REFEREE = "referee.py"
    TOLD = "told.py"
    OVERVIEW = "overview.py"
    GALLERY = "gallery.py"


class Guide(StrEnum):
    BACKPRESSURE = "backpressure.md"
    HISTORY = "history.md"
    LIFECYCLE = "lifecycle.md"
    OVERFLOW = "choose-an-overflow-policy.md"
    AUTHENTICATE = "authenticate.md"
    HUB = "build-on-a-hub.md"


@app.get("/", include_in_schema=False)
async def index() -> FileResponse:
    return FileResponse(HERE / "static" / "gallery.html")


@app.get("/source/{name}", include_in_schema=False)
async def source_page(name: Source) -> FileResponse:
    return FileResponse(HERE / "static" / "source.html")


@app.get("/source/{name}/text")
async def source_text(name: Source) -> PlainTextResponse:
    return PlainTextResponse((HERE / name).read_text(encoding="utf-8"))


@app.get("/guide/{name}", include_in_schema=False)
async def guide_page(name: Guide) -> FileResponse:
    return FileResponse(HERE / "static" / "source.html")


@app.get("/guide/{name}/text")
async def guide_text(name: Guide) -> PlainTextResponse:
    return PlainTextResponse(next(DOCS.glob(f"*/{name}")).read_text(encoding="utf-8"))
