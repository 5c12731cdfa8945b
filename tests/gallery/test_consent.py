"""Dates as people write them, and what a consent must say."""

import time
from datetime import UTC, datetime

import pytest

from gallery.consent import changed, until_of
from gallery.errors import ConsentInvalid
from gallery.people import Consent

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kathmandu"])
def zone(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-12-31", (2027, 12, 31, 23, 59)),
        (" 2027-02-28 ", (2027, 2, 28, 23, 59)),
        ("9999-12-30", (9999, 12, 30, 23, 59)),
        ("2027-12-31T18:00", (2027, 12, 31, 18, 0)),
        ("2027-12-31 18:30", (2027, 12, 31, 18, 30)),
    ],
)
def test_dates_are_of_this_place_and_a_day_goes_to_its_end(zone, text, moment):
    assert time.localtime(until_of(text, NOW))[:5] == moment


def test_a_moment_may_say_its_zone(zone):
    assert until_of("2027-12-31T18:00+01:00", NOW) == datetime(2027, 12, 31, 17, tzinfo=UTC).timestamp()
    assert until_of("2027-12-31T18:00Z", NOW) == datetime(2027, 12, 31, 18, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text", ["", "soon", "31.12.2027", "2027-13-01", "2027-02-29", "9999-12-31T99:00", "1", "2027"]
)
def test_what_is_no_date(text):
    with pytest.raises(ConsentInvalid, match="is no date; write it like 2027-12-31"):
        until_of(text, NOW)


@pytest.mark.parametrize("text", ["2026-11-28", "2026-11-30T11:59Z", "1970-01-01", "0001-01-01T00:00Z"])
def test_a_date_that_is_past(text):
    with pytest.raises(ConsentInvalid, match="is past"):
        until_of(text, NOW)


def test_today_is_not_past(zone):
    assert until_of(time.strftime("%Y-%m-%d", time.localtime(NOW)), NOW) > NOW


def test_what_is_told_anew_is_given_anew():
    first = changed(None, 100.0, by=" Ada ", purpose="the door", until=None)
    assert first == Consent("Ada", 100.0, "the door", None)
    longer = changed(first, 200.0, by=None, purpose=None, until=900.0)
    assert longer == Consent("Ada", 100.0, "the door", 900.0)
    other = changed(longer, 300.0, by=None, purpose="the gate", until=None)
    assert other == Consent("Ada", 300.0, "the gate", 900.0)


@pytest.mark.parametrize(("by", "purpose"), [(None, None), ("Ada", None), (None, "the door"), ("  ", "the door")])
def test_a_consent_says_to_whom_and_what_for(by, purpose):
    with pytest.raises(ConsentInvalid, match="whom it was given to and what for"):
        changed(None, 100.0, by=by, purpose=purpose, until=900.0)


@pytest.mark.parametrize("purpose", ["two\nlines", "x" * 1001])
def test_a_consent_is_one_line(purpose):
    with pytest.raises(ConsentInvalid, match="one line"):
        changed(None, 100.0, by="Ada", purpose=purpose, until=None)
