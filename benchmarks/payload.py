"""What it costs to encode one message, once, for however many connections; and to put it into a frame."""

from random import Random
from typing import Literal

from pydantic import BaseModel

from benchmarks import noise
from benchmarks.noise import Noisy, Operation, Plan, measure
from fastapi_rooms.frames import PLAIN, TEXT, build_frame
from fastapi_rooms.payload import Payload

NAME = "payload"
add_arguments, plan = noise.add_arguments, noise.plan

SIZES = (128, 1024)
WINDOW_BITS = 12
"""What uvicorn negotiates."""

_TALK = (
    "the a we you they is was will can see meet send build plan again today tomorrow friday room table release "
    "lunch coffee question answer idea picture number price order server page button link and or but because"
)


class ChatMessage(BaseModel):
    """A message as a chat sends it."""

    type: Literal["message"] = "message"
    room: str = "general"
    sender: str = "ada"
    id: int = 42
    text: str


def run(plan: Plan) -> Noisy:
    return measure("Payload", [*_encoding(), *_framing()], plan.repeats)


def message(size: int) -> ChatMessage:
    """A message in words, whose JSON has so many bytes: the same at every call."""
    length = size - len(ChatMessage(text="").model_dump_json())
    text = " ".join(Random(1).choices(_TALK.split(), k=length))
    return ChatMessage(text=text[:length])


def _encoding() -> list[Operation]:
    operations = []
    for size in SIZES:
        model = message(size)
        text = model.model_dump_json()
        shapes = {"text": text, "bytes": text.encode(), "model": model, "dict": model.model_dump()}
        operations += [_of(f"Payload.of({shape}), {size} bytes", value) for shape, value in shapes.items()]
    return [*operations, _of(f"Payload.of(text), {SIZES[-1]} bytes, not ASCII", "ä" * (SIZES[-1] // 2))]


def _of(name: str, value: object) -> Operation:
    return Operation(name=name, statement="of(message)", names={"of": Payload.of, "message": value})


def _framing() -> list[Operation]:
    small, large = (message(size).model_dump_json().encode() for size in SIZES)
    operations = [
        Operation(
            name=f"a frame of {len(data)} bytes, {'deflate' if bits else 'plain'}",
            statement="build(opcode, data, window_bits=bits)",
            names={"build": build_frame, "opcode": TEXT, "data": data, "bits": bits},
        )
        for data, bits in ((small, PLAIN), (large, PLAIN), (large, WINDOW_BITS))
    ]
    again = {"payload": Payload.of(large), "bits": WINDOW_BITS}
    return [*operations, Operation(name="the same frame again", statement="payload.frame(bits)", names=again)]
