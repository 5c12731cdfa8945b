"""What is said anew of a person, and what is left as it was."""

import pytest

from gallery.errors import ConsentInvalid
from gallery.people import Consent, OwnThreshold, Profile
from streamer.people.profile_change import ConsentChange, ProfileChange

NOW = 1000.0
GIVEN = Consent("herself", 10.0, "entry", 5000.0)
FORMER = Profile("Ada", "4711", ("staff",), OwnThreshold("a.1", 0.5), GIVEN, ignored=True)


def test_nothing_said_is_nothing_changed():
    assert ProfileChange().of(FORMER, NOW) == FORMER
    assert ProfileChange().of(Profile("Ada"), NOW) == Profile("Ada")


def test_what_is_said_takes_the_place_of_what_was():
    own = OwnThreshold("b.1", 0.7)
    change = ProfileChange("Bob", "12", ("guest",), own, ConsentChange("Bob", "work", 2000.0), False)
    assert change.of(FORMER, NOW) == Profile("Bob", "12", ("guest",), own, Consent("Bob", NOW, "work", 2000.0))


def test_what_there_is_not_any_more():
    change = ProfileChange(external_id=None, tags=(), threshold=None, consent=None, ignored=False)
    assert change.of(FORMER, NOW) == Profile("Ada")


@pytest.mark.parametrize(
    ("told", "consent"),
    [
        (ConsentChange(), GIVEN),
        (ConsentChange(expires_at=None), Consent("herself", 10.0, "entry")),
        (ConsentChange(expires_at=NOW + 1), Consent("herself", 10.0, "entry", NOW + 1)),
        (ConsentChange(purpose="work"), Consent("herself", NOW, "work", 5000.0)),
        (ConsentChange("Bob", expires_at=None), Consent("Bob", NOW, "entry")),
    ],
)
def test_a_consent_is_changed_piece_by_piece(told, consent):
    assert ProfileChange(consent=told).of(FORMER, NOW).consent == consent


@pytest.mark.parametrize(
    ("former", "told"),
    [
        (None, ConsentChange(expires_at=NOW + 1)),
        (None, ConsentChange("Bob")),
        (None, ConsentChange(purpose="work")),
        (GIVEN, ConsentChange(by=" ")),
        (GIVEN, ConsentChange(expires_at=NOW)),
        (GIVEN, ConsentChange(expires_at=0.0)),
        (GIVEN, ConsentChange(purpose="a\nb")),
    ],
)
def test_a_consent_that_says_too_little_or_is_over_is_none(former, told):
    with pytest.raises(ConsentInvalid):
        ProfileChange(consent=told).of(Profile("Ada", consent=former), NOW)
