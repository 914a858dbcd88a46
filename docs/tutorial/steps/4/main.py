import os
from pathlib import Path
from typing import Annotated

from fastapi import Body, Depends, FastAPI, WebSocket
from fastapi import Path as InPath
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import Field

from fastapi_rooms import Connection, Presence, PresenceDiff, RoomManager
from fastapi_rooms.auth import Identity, JWTAuth

STATIC = Path(__file__).with_name("static")
RoomName = Annotated[str, InPath(pattern="^[a-z0-9-]{1,32}$")]
Name = Annotated[str, Field(pattern=r"\S", max_length=24)]

auth = JWTAuth(key=os.environ["JWT_SECRET"], algorithms=["HS256"], reject="close")
User = Annotated[Identity, Depends(auth)]


class Chat(RoomManager[Identity]):
    async def on_join(self, connection: Connection[Identity], room: str) -> None:
        await connection.send(await self.people(room))

    async def on_presence(self, room: str, diff: PresenceDiff) -> None:
        await self.broadcast_here(await self.people(room), room=room)

    async def people(self, room: str) -> dict[str, list[str]]:
        return {"people": list((await self.who(room)).users)}


rooms = Chat(presence=Presence(grace=5))
app = FastAPI(lifespan=rooms.lifespan)
app.mount("/static", StaticFiles(directory=STATIC))


@app.post("/token")
async def sign_in(name: Annotated[Name, Body(embed=True)]) -> dict[str, str]:
    # Yours checks a password first.
    return {"token": auth.issue(name, expires_in=900)}


@app.get("/")
async def entrance() -> RedirectResponse:
    return RedirectResponse("/lobby")


@app.get("/{room}")
async def page(room: RoomName) -> FileResponse:
    return FileResponse(STATIC / "page.html")


@app.websocket("/{room}")
async def chat(websocket: WebSocket, room: RoomName, user: User) -> None:
    async with rooms.connect(websocket, user=user, room=room) as connection:
        async for text in connection.iter_text():
            await rooms.broadcast({"from": user.subject, "text": text}, room=room)
