from fastapi_rooms.statistics import ConnectionStatistics, Drops, combine, ended

ONE = ConnectionStatistics(
    queued=1,
    queued_bytes=2,
    high_water=3,
    high_water_bytes=40,
    oldest_queued_age=0.5,
    sent=6,
    sent_bytes=7,
    received=8,
    received_bytes=9,
    inbox=10,
    dropped=Drops(oldest=1, newest=2, conflated=3, discarded=4),
)
OTHER = ConnectionStatistics(high_water=30, high_water_bytes=4, oldest_queued_age=0.1, sent=1, inbox=1)


def test_figures_are_summed_and_the_greatest_are_kept() -> None:
    assert combine([ONE, OTHER, ONE]) == ConnectionStatistics(
        queued=2,
        queued_bytes=4,
        high_water=30,
        high_water_bytes=40,
        oldest_queued_age=0.5,
        sent=13,
        sent_bytes=14,
        received=16,
        received_bytes=18,
        inbox=21,
        dropped=Drops(oldest=2, newest=4, conflated=6, discarded=8),
    )


def test_no_connections_have_no_figures() -> None:
    assert combine([]) == ConnectionStatistics()


def test_of_an_ended_connection_nothing_waits_any_more() -> None:
    figures = ended(ONE)
    assert (figures.queued, figures.queued_bytes, figures.oldest_queued_age, figures.inbox) == (0, 0, 0.0, 0)
    assert (figures.sent, figures.received, figures.high_water, figures.dropped) == (6, 8, 3, ONE.dropped)
    assert (figures.sent_bytes, figures.received_bytes, figures.high_water_bytes) == (7, 9, 40)
