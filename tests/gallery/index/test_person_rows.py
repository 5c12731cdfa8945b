import numpy as np
import pytest

from gallery.index.person_rows import PersonRows


@pytest.mark.parametrize(
    ("owners", "asked", "rows"),
    [
        ("abacab", "ba", [1, 5, 0, 2, 4]),
        ("abacab", "c", [3]),
        ("aaaa", "a", [0, 1, 2, 3]),
        ("abacab", "", []),
        ("", "", []),
    ],
)
def test_a_person_s_rows_in_their_order(owners: str, asked: str, rows: list[int]) -> None:
    whose = PersonRows.of(owners, len(owners))
    numbers = np.array([whose.numbers[person] for person in asked], np.intp)
    assert whose.rows_of(numbers).tolist() == rows
    assert [whose.people[number] for number in whose.owners] == list(owners)
    assert whose.sizes.tolist() == [owners.count(person) for person in whose.people]
