"""The cells of the fan-out's table, and in which order contestants run."""

import pytest
from benchmarks.cells import ALL_CELLS, Cell, line_up, meetings, parse_cell


@pytest.mark.parametrize("cell", ALL_CELLS, ids=str)
def test_a_cell_is_read_as_it_is_written(cell: Cell) -> None:
    assert parse_cell(str(cell)) == cell


@pytest.mark.parametrize("text", ["", "1000x128", "1000x128xW", "1000x128xW4xzip", "x1000x128xW4"])
def test_what_is_no_cell_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a cell"):
        parse_cell(text)


def test_ours_meets_everyone_and_the_standard_way_meets_the_tutorial_on_its_server() -> None:
    names = ["tutorial", "rooms", "rooms-shared", "node", "rooms-granian", "tutorial-granian"]

    assert meetings(names) == [
        ("rooms-shared", "tutorial"),
        ("rooms-shared", "rooms"),
        ("rooms-shared", "node"),
        ("rooms", "tutorial"),
        ("rooms-granian", "tutorial-granian"),
    ]


def test_without_ours_the_first_named_meets_the_others() -> None:
    assert meetings(["node", "picows"]) == [("node", "picows")]
    assert meetings(["rooms", "tutorial"]) == [("rooms", "tutorial")]


def test_two_pairs_in_a_row_share_the_run_of_the_one_they_have_in_common() -> None:
    order, places = line_up([("ours", "a"), ("ours", "b"), ("ours", "c"), ("b", "a")])

    assert order == ["a", "ours", "b", "c", "ours", "a", "b"]
    assert places == [(1, 0), (1, 2), (4, 3), (6, 5)]
