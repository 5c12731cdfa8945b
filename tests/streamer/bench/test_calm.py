"""Which rounds count, and what others took."""

import pytest

from streamer.bench import calm
from streamer.bench.calm import PATIENCE, calmest, others_share


def scripted(monkeypatch: pytest.MonkeyPatch, *shares: float) -> None:
    """Rounds of 100 CPU seconds in which others take these shares, we the half of the rest."""
    clock = [0.0, 0.0, 0.0]
    marks = []
    for share in shares:
        marks.append(tuple(clock))
        free = 100 * (1 - share)
        clock = [clock[0] + 100, clock[1] + free / 2, clock[2] + free / 2]
        marks.append(tuple(clock))
    monkeypatch.setattr(calm, "_cpu_s", iter(marks).__next__)


def numbers():
    count = 0

    async def measure() -> int:
        nonlocal count
        count += 1
        return count

    return measure


@pytest.mark.parametrize(
    ("shares", "counted", "tried", "worst"),
    [
        ([0.0, 0.02], [1, 2], 2, 0.02),
        ([0.5, 0.02, 0.3, 0.01], [4, 2], 4, 0.02),
        ([0.5, 0.6, 0.4, 0.5, 0.7, 0.3], [6, 3], 2 * PATIENCE, 0.4),
    ],
    ids=["calm at once", "calm now and then", "never calm"],
)
async def test_the_calmest_rounds_count(monkeypatch, shares, counted, tried, worst):
    scripted(monkeypatch, *shares)
    found = await calmest(numbers(), 2)
    assert found.results == counted
    assert found.everything == list(range(1, tried + 1))
    assert found.others_share == pytest.approx(worst)


def test_a_share_is_never_less_than_nothing_nor_more_than_all():
    assert others_share((0, 0, 0), (10, 2, 9)) == 0.0
    assert others_share((0, 0, 0), (10, 0, -5)) == 1.0
    assert others_share((5, 5, 5), (5, 5, 5)) == 0.0
