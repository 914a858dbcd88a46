"""The gallery: the three examples in one application, each under its own path.

Run it with `python -m fastapi_rooms examples`, or from the checkout with `uvicorn examples.gallery:app`, then open
http://127.0.0.1:8000.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from . import chat, dashboard, echo

HERE = Path(__file__).parent


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Starlette does not run the lifespans of mounted applications, so this one runs their managers'."""
    async with echo.echo.lifespan(app), chat.chat.lifespan(app), dashboard.dashboard.lifespan(app):
        yield


app = FastAPI(title="fastapi-rooms examples", lifespan=lifespan)
app.mount("/static", StaticFiles(directory=HERE / "static"))
app.mount("/echo", echo.app)
app.mount("/chat", chat.app)
app.mount("/dashboard", dashboard.app)


class Source(StrEnum):
    ECHO = "echo.py"
    CHAT = "chat.py"
    DASHBOARD = "dashboard.py"
    GALLERY = "gallery.py"


@app.get("/", include_in_schema=False)
async def index() -> FileResponse:
    return FileResponse(HERE / "static" / "gallery.html")


@app.get("/source/{name}", include_in_schema=False)
async def source_page(name: Source) -> FileResponse:
    return FileResponse(HERE / "static" / "source.html")


@app.get("/source/{name}/text")
async def source_text(name: Source) -> PlainTextResponse:
    return PlainTextResponse((HERE / name).read_text(encoding="utf-8"))
