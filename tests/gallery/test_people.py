import re
from dataclasses import replace

import numpy as np
import pytest

from gallery.errors import NameInvalid
from gallery.people import clean_name, new_person_id
from tests.gallery.fakes import SPACE, other_template, photo_of, unit


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        ("  Ada \n", "Ada"),
        ("Jose\u0301", "Jos\u00e9"),
        ("x" * 100, "x" * 100),
        ("\u0dc1\u0dca\u200d\u0dbb\u0dd3", "\u0dc1\u0dca\u200d\u0dbb\u0dd3"),
    ],
)
def test_names_are_stripped_and_composed(given: str, kept: str) -> None:
    assert clean_name(given) == kept


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 101, "Ada\nLovelace", "Ada\tL", "A\x00B", "\u202eadA", "\u200d", "a\udcffb"]
)
def test_names_that_can_not_be_shown_are_refused(name: str) -> None:
    with pytest.raises(NameInvalid):
        clean_name(name)


def test_ids_are_opaque_and_differ() -> None:
    ids = {new_person_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch("p[a-z0-9]{12}", person_id) for person_id in ids)


def test_only_unit_vectors_come_in() -> None:
    with pytest.raises(ValueError, match="unit vector"):
        photo_of(unit(1) * np.float32(2))
    with pytest.raises(ValueError, match="unit vector"):
        photo_of(np.full(64, np.nan, np.float32))
    with pytest.raises(ValueError, match="float32"):
        photo_of(unit(1).astype(np.float64))  # type: ignore[arg-type]


def test_a_photo_has_one_template_at_least_and_one_a_space() -> None:
    assert len(photo_of(unit(1), others=[other_template(1)]).templates) == 2
    with pytest.raises(ValueError, match="one a space"):
        photo_of(unit(1), others=[other_template(1, SPACE)])
    with pytest.raises(ValueError, match="one at least"):
        replace(photo_of(unit(1)), templates=())
