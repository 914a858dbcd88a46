from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from brokers.scale import examples
from fastapi_rooms.inbox import Inbox
from fastapi_rooms.options import Limits


def inbox_of(*, messages: int | None, size: int | None) -> Inbox:
    return Inbox(Limits(inbox_messages=messages, inbox_bytes=size))


class InboxMachine(RuleBasedStateMachine):
    """An inbox against a deque."""

    def __init__(self) -> None:
        super().__init__()
        self.inbox = Inbox(Limits())
        self.model: deque[str] = deque()
        self.messages: int | None = None
        self.bytes: int | None = None

    @initialize(messages=st.none() | st.integers(1, 3), size=st.none() | st.integers(1, 8))
    def bounds(self, messages: int | None, size: int | None) -> None:
        self.messages, self.bytes = messages, size
        self.inbox = inbox_of(messages=messages, size=size)

    @precondition(lambda self: not self.inbox.full)
    @rule(text=st.text("ab", max_size=10))
    def put(self, text: str) -> None:
        self.inbox.put(text, len(text))
        self.model.append(text)

    @rule()
    def get(self) -> None:
        assert self.inbox.get() == (self.model.popleft() if self.model else None)

    @rule()
    def clear(self) -> None:
        self.inbox.clear()
        self.model.clear()

    @invariant()
    def it_is_the_model(self) -> None:
        size = sum(map(len, self.model))
        assert (len(self.inbox), self.inbox.size) == (len(self.model), size)
        over = self.messages is not None and len(self.model) >= self.messages
        assert self.inbox.full is (over or (self.bytes is not None and size >= self.bytes))


InboxMachine.TestCase.settings = settings(max_examples=examples(50), stateful_step_count=25, deadline=None)
TestInboxAgainstItsModel = InboxMachine.TestCase


@pytest.mark.parametrize("size", [None, 10])
def test_an_empty_inbox_takes_a_message_of_any_size(size: int | None) -> None:
    inbox = inbox_of(messages=None, size=size)
    assert not inbox.full
    inbox.put("x" * 100, 100)
    assert inbox.full is (size is not None)
    assert inbox.get() == "x" * 100
    assert not inbox.full


def test_an_empty_message_is_a_message() -> None:
    inbox = inbox_of(messages=1, size=None)
    inbox.put(b"", 0)
    assert inbox.full
    assert inbox.get() == b""
    assert inbox.get() is None


def test_its_size_is_the_bytes_that_wait() -> None:
    inbox = inbox_of(messages=None, size=None)
    inbox.put("abc", 3)
    inbox.put(b"de", 2)
    assert (len(inbox), inbox.size) == (2, 5)
    inbox.get()
    assert (len(inbox), inbox.size) == (1, 2)
