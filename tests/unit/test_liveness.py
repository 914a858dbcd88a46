from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from brokers.scale import examples
from fastapi_rooms.liveness import Liveness, Verdict
from fastapi_rooms.options import Heartbeat

BEAT = Heartbeat(interval=10, timeout=3)


def test_without_bounds_nothing_is_ever_due() -> None:
    life = Liveness(idle_timeout=None, heartbeat=None, now=0.0)
    assert life.due(0.0) is None
    assert life.judge(10**9) is Verdict.WAIT


def test_a_quiet_client_is_idle_after_the_timeout() -> None:
    life = Liveness(idle_timeout=5, heartbeat=None, now=0.0)
    assert (life.due(0.0), life.judge(4.9)) == (5, Verdict.WAIT)
    life.saw(4.0)
    assert (life.due(0.0), life.judge(8.9), life.judge(9.0)) == (9, Verdict.WAIT, Verdict.IDLE)


def test_a_quiet_client_is_asked_for_life_and_then_given_up() -> None:
    life = Liveness(idle_timeout=None, heartbeat=BEAT, now=0.0)
    assert (life.due(0.0), life.judge(9.9), life.judge(10.0)) == (10, Verdict.WAIT, Verdict.BEAT)
    assert (life.due(10.0), life.judge(12.9), life.judge(13.0)) == (13, Verdict.WAIT, Verdict.DEAD)


def test_any_message_is_an_answer() -> None:
    life = Liveness(idle_timeout=None, heartbeat=BEAT, now=0.0)
    assert life.judge(10.0) is Verdict.BEAT
    life.saw(12.0)
    assert (life.judge(13.0), life.due(13.0), life.judge(22.0)) == (Verdict.WAIT, 22, Verdict.BEAT)


def test_an_answer_long_before_the_deadline_does_not_delay_the_next_heartbeat() -> None:
    life = Liveness(idle_timeout=None, heartbeat=Heartbeat(interval=2, timeout=9), now=0.0)
    assert (life.judge(2.0), life.due(2.0)) == (Verdict.BEAT, 4)
    life.saw(2.5)
    assert (life.judge(4.0), life.due(4.0), life.judge(4.5)) == (Verdict.WAIT, 4.5, Verdict.BEAT)


class LivenessMachine(RuleBasedStateMachine):
    """Time passes, the client speaks or not: a verdict falls when it is due, and not before."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.idle: float | None = None
        self.beat: Heartbeat | None = None
        self.life = Liveness(idle_timeout=None, heartbeat=None, now=0.0)
        self.seen = 0.0
        self.asked: float | None = None

    @initialize(
        idle=st.none() | st.integers(1, 20),
        beat=st.none() | st.builds(Heartbeat, interval=st.integers(1, 9), timeout=st.integers(1, 9)),
    )
    def options(self, idle: int | None, beat: Heartbeat | None) -> None:
        self.idle, self.beat = idle, beat
        self.life = Liveness(idle_timeout=idle, heartbeat=beat, now=0.0)

    @rule(seconds=st.integers(0, 6))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def the_client_speaks(self) -> None:
        self.life.saw(self.now)
        self.seen, self.asked = self.now, None

    @rule()
    def judge(self) -> None:
        due = self.life.due(self.now)
        verdict = self.life.judge(self.now)
        if self.idle is not None and self.now - self.seen >= self.idle:
            assert verdict is Verdict.IDLE
        elif self.beat is not None and self.asked is not None and self.now - self.asked >= self.beat.timeout:
            assert verdict is Verdict.DEAD
        elif self.beat is not None and self.asked is None and self.now - self.seen >= self.beat.interval:
            assert verdict is Verdict.BEAT
            self.asked = self.now
        else:
            assert verdict is Verdict.WAIT
        assert (verdict is Verdict.WAIT) is (due is None or due > self.now)

    @invariant()
    def something_is_due_if_anything_is_watched(self) -> None:
        assert (self.life.due(self.now) is None) is (self.idle is None and self.beat is None)


LivenessMachine.TestCase.settings = settings(max_examples=examples(50), stateful_step_count=25, deadline=None)
TestLivenessAgainstItsModel = LivenessMachine.TestCase
