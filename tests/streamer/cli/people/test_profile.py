"""`people set` as a user types it."""

import time
from dataclasses import replace

import pytest

from gallery.matching.calibration import calibrate
from gallery.matching.calibration_text import to_text
from gallery.people import Consent, OwnThreshold
from tests.command import assert_refused, whosthere
from tests.gallery.matching.test_calibration import CONDITIONS, scores_as_measured
from tests.gallery.portable import portable_person
from tests.seeded import opened, seeded

ADA, BOB = portable_person(1), portable_person(2, "Bob")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return seeded(tmp_path_factory.mktemp("set") / "home", [ADA, BOB])


def profile_of(home, name):
    with opened(home) as store:
        return store.find(name).profile


def test_what_is_said_of_a_person(home):
    done = whosthere(
        *("people", "set", "bob", "--external-id", " 4711 ", "--tag", "x", "--tag", "a", "--threshold", "0.625"),
        *("--consent-until", "2050-05-01"),
        cwd=home,
    )
    assert done.code == 0, done.err
    profile = profile_of(home, "4711")
    assert (profile.name, profile.external_id, profile.tags, profile.threshold) == (
        "Bob",
        "4711",
        ("a", "x"),
        OwnThreshold("nano_embed.2", 0.625),
    )
    until = time.mktime((2050, 5, 1, 23, 59, 59, 0, 0, -1))
    assert profile.consent == Consent(BOB.profile.consent.by, BOB.profile.consent.at, "the door of the library", until)
    for line in (
        "external id 4711",
        "tags: a, x",
        "named from a cosine of 0.625 on in nano_embed.2",
        "until 2050-05-01 23:59",
    ):
        assert line in done.out
    cleared = whosthere(
        *("people", "set", "bob", "--external-id", "none", "--tag", "none", "--threshold", "none"),
        *("--consent-until", "none", "--consent-purpose", "the gate", "--json"),
        cwd=home,
    ).document
    assert (cleared["external_id"], cleared["tags"], cleared["threshold"]) == (None, [], None)
    assert (cleared["consent"]["purpose"], cleared["consent"]["expires_at"]) == ("the gate", None)
    assert cleared["consent"]["at"] > BOB.profile.consent.at, "for something new it is given anew"
    assert whosthere("people", "set", "bob", "--no-consent", "--json", cwd=home).document["consent"] is None
    assert profile_of(home, "ada lovelace") == ADA.profile


REFUSED = [
    (("--consent-until", "2020-01-01"), "consent_invalid"),
    (("--consent-until", "tomorrow"), "consent_invalid"),
    (("--consent-by", "  "), "consent_invalid"),
    (("--external-id", "staff-2"), "external_id_taken"),
    (("--threshold", "1.5"), "threshold_invalid"),
    (("--threshold", "nan"), "threshold_invalid"),
    (("--threshold", "-1.5"), "threshold_invalid"),
    (("--tag", ""), "name_invalid"),
    (("--external-id", "x" * 101), "name_invalid"),
]


@pytest.mark.parametrize(("options", "code"), REFUSED, ids=[" ".join(options)[:40] for options, _ in REFUSED])
def test_what_can_not_be(tmp_path, options, code):
    home = seeded(tmp_path / "home", [ADA, BOB])
    ended = whosthere("people", "set", ADA.id, *options, cwd=home)
    line = assert_refused(ended, code)
    assert "strangers" not in ended.err, "nothing is told of what was not set"
    assert code != "external_id_taken" or BOB.id in line
    assert profile_of(home, ADA.id) == ADA.profile


@pytest.mark.parametrize("options", [(), ("--no-consent", "--consent-by", "Ada"), ("--threshold", "high")])
def test_bad_usage(home, options):
    assert whosthere("people", "set", ADA.id, *options, cwd=home).code == 2
    assert profile_of(home, ADA.id) == ADA.profile


@pytest.mark.parametrize(
    ("embedder", "cosine", "space", "is_told"),
    [
        ("nano_embed", 0.2, "nano_embed.2", True),
        ("nano_embed", 0.9, "nano_embed.2", False),
        ("edgeface_xxs", 0.1, "edgeface_xxs.1", True),
    ],
)
def test_a_threshold_is_that_of_the_configured_embedder(tmp_path, embedder, cosine, space, is_told):
    home = seeded(tmp_path / "home", [ADA], recognition={"embedder": embedder})
    done = whosthere("people", "set", ADA.id, "--threshold", f"{cosine}", "--json", cwd=home)
    assert done.code == 0, done.err
    assert done.document["threshold"] == {"space": space, "cosine": cosine}
    assert ("strangers are more often taken for this person" in done.err) is is_told
    assert profile_of(home, ADA.id).threshold == OwnThreshold(space, cosine)


@pytest.mark.parametrize(
    ("cosine", "calibrated", "configured", "bar"),
    [(0.6, 0.7, None, "0.7"), (0.6, 0.4, None, None), (0.56, None, None, "0.576"), (0.56, 0.4, 0.65, "0.65")],
)
def test_what_a_threshold_is_below_is_what_others_are_named_by(tmp_path, cosine, calibrated, configured, bar):
    home = seeded(tmp_path / "home", [ADA], gallery={"threshold": configured})
    if calibrated is not None:
        made, _ = calibrate("nano_embed.2", scores_as_measured(50), CONDITIONS, 0.01, 5.0)
        with opened(home) as store:
            store.keep_calibrations({"nano_embed.2": to_text(replace(made, threshold=calibrated))}, {})
    done = whosthere("people", "set", ADA.id, "--threshold", f"{cosine}", cwd=home)
    assert done.code == 0, done.err
    notes = [line for line in done.complaints if "from which on nano_embed names others" in line]
    assert [line.split(" is below ")[1].split(",")[0] for line in notes] == ([] if bar is None else [bar])
