from fastapi_rooms.cluster.peers import MOST_PEERS, Peers, Question
from unit.fakes import SHORT


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_process_counts_as_there_for_a_while_after_its_last_word() -> None:
    clock = Clock()
    peers = Peers(within=3, clock=clock)
    assert (peers.saw("a"), peers.saw("a")) == (True, False)
    clock.now = 2
    peers.saw("b")
    clock.now = 3
    assert peers.now() == {"a", "b"}
    clock.now = 3.1
    assert peers.now() == {"b"}
    assert peers.saw("a")


def test_a_process_that_says_goodbye_is_gone_at_once() -> None:
    peers = Peers(within=3, clock=Clock())
    peers.saw("a")
    peers.left("a")
    peers.left("never seen")
    assert peers.now() == frozenset()


def test_the_table_of_processes_has_a_bound() -> None:
    peers = Peers(within=3, clock=Clock())
    for number in range(MOST_PEERS + 5):
        peers.saw(str(number))
    now = peers.now()
    assert (len(now), "0" in now, str(MOST_PEERS + 4) in now) == (MOST_PEERS, False, True)


async def test_a_question_waits_until_everybody_has_answered() -> None:
    question = Question(frozenset({"a", "b"}))
    question.answer("a", b"1")
    await question.wait(SHORT)
    assert (question.answers, question.missing) == ({"a": b"1"}, {"b"})
    question.answer("b", b"2")
    question.answer("c", b"3")
    await question.wait(60)
    assert (question.answers, question.missing) == ({"a": b"1", "b": b"2", "c": b"3"}, set())


async def test_a_question_to_nobody_is_answered() -> None:
    await Question(frozenset()).wait(60)
