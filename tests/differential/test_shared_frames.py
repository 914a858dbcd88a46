"""Shared frames change how messages travel, not what the client gets."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from brokers.scale import examples
from fastapi_rooms.transports.shared_frames import SharedFramesProtocol

from .stories import Data, Event, Message, Outcome, Step, Telling, Turns, Way, endings, steps, stories

compression = st.sampled_from((None, 9, 12, 15))
_AFTERWARDS = st.lists(steps.filter(lambda step: isinstance(step, (Message, Turns))), max_size=5)


def _told(
    protocol: type[WebSocketsSansIOProtocol],
    story: Sequence[Step],
    ending: Event,
    afterwards: Sequence[Step],
    window_bits: int | None,
) -> Outcome:
    async def tell() -> Outcome:
        return await Telling(protocol, window_bits=window_bits).tell(story, ending, afterwards)

    return asyncio.run(tell())


@settings(max_examples=examples(300), deadline=None)
@given(story=stories, ending=endings, afterwards=_AFTERWARDS, window_bits=compression)
def test_the_client_gets_the_same_through_shared_frames_as_in_the_standard_way(
    story: list[Step], ending: Event, afterwards: list[Step], window_bits: int | None
) -> None:
    standard = _told(WebSocketsSansIOProtocol, story, ending, afterwards, window_bits)
    shared = _told(SharedFramesProtocol, story, ending, afterwards, window_bits)

    assert shared.listener == standard.listener
    if standard.exact:
        assert shared.received == standard.received
    else:
        few, many = sorted((shared.received.messages, standard.received.messages), key=len)
        assert few == many[: len(few)]


@pytest.mark.parametrize("window_bits", [None, 12])
def test_the_messages_of_a_turn_are_one_write_on_shared_frames(window_bits: int | None) -> None:
    story = [Message(Way.BROADCAST, Data(300, number, "json")) for number in range(50)]
    standard = _told(WebSocketsSansIOProtocol, [*story, Turns(9)], Event.SERVER_CLOSES, (), window_bits)
    shared = _told(SharedFramesProtocol, [*story, Turns(9)], Event.SERVER_CLOSES, (), window_bits)

    assert shared.received.messages == [message.data.value for message in story]
    assert standard.writes - shared.writes == len(story) - 1
