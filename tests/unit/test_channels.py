import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_rooms.channels import Channels, _remembered
from fastapi_rooms.errors import ConfigurationError

NAMES = st.text(st.characters(), max_size=300)  # lone surrogates too
CHANNELS = Channels("rooms")


@given(NAMES)
def test_every_name_is_one_token_that_every_engine_takes(name: str) -> None:
    for channel in (CHANNELS.room(name), CHANNELS.user(name), CHANNELS.process(name)):
        assert re.fullmatch(r"rooms\.(room|user|process)\.[A-Za-z0-9_%~-]+", channel)
        assert len(channel) < 250


@given(NAMES, NAMES)
def test_two_names_never_share_a_channel(one: str, other: str) -> None:
    assert (CHANNELS.room(one) == CHANNELS.room(other)) == (one == other)


@given(NAMES)
def test_rooms_and_users_and_prefixes_are_apart(name: str) -> None:
    channels = [CHANNELS.room(name), CHANNELS.user(name), CHANNELS.process(name), CHANNELS.everyone]
    channels += [Channels("other").room(name), Channels("other").everyone]
    assert len(set(channels)) == len(channels)


def test_no_name_that_a_client_made_long_is_remembered() -> None:
    before = _remembered.cache_info().currsize
    assert Channels("rooms").room("x" * 256) == Channels("rooms").room("x" * 256)
    assert _remembered.cache_info().currsize == before


def test_plain_names_can_be_read() -> None:
    assert CHANNELS.room("lobby-1_a") == "rooms.room.lobby-1_a"
    assert CHANNELS.user("a.b~c") == "rooms.user.a%2Eb%7Ec"


def test_names_that_differ_beyond_what_is_kept_of_them_are_apart() -> None:
    assert CHANNELS.room("x" * 250 + "a") != CHANNELS.room("x" * 250 + "b")


@pytest.mark.parametrize("prefix", ["", "a b", "a.b", "*", ">", "é", "x" * 33, "a\n"])
def test_a_prefix_that_an_engine_could_misread_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        Channels(prefix)
