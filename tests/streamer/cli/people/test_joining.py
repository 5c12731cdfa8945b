"""`people merge|split|ignore` as a user types them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gallery.classifier.folder import FILES, PEOPLE, write
from gallery.people import Profile
from tests.command import assert_refused, whosthere
from tests.gallery.fakes import SPACE, negative_of, unit
from tests.gallery.portable import portable_person
from tests.seeded import keep_visit, opened, seeded

ADA, BOB = portable_person(1), portable_person(2, "Bob")
BYRON = replace(portable_person(3, "Ada Byron"), profile=Profile("Ada Byron", tags=("library",)))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return seeded(tmp_path / "home", [ADA, BOB, BYRON])


def test_two_become_one_and_what_was_seen_of_either_is_found(home: Path) -> None:
    before, other = keep_visit(home, BYRON.id, 1, 1.76e9), keep_visit(home, ADA.id, 2, 1.76e9)
    keep_visit(home, BOB.id, 3, 1.76e9)
    done = whosthere("people", "merge", "ada byron", "Ada Lovelace", "--yes", cwd=home)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == f"Ada Byron ({BYRON.id}) is Ada Lovelace ({ADA.id}): 2 photos more"
    assert "tags: library, night shift, staff" in done.out
    assert any(line.startswith("left for now: retained MQTT topics: broker 127.0.0.1:1") for line in done.complaints)
    for who in ("ada lovelace", BYRON.id, ADA.id):
        shown = whosthere("people", "show", who, "--json", cwd=home).document
        assert (shown["id"], shown["former_ids"], shown["photos"]) == (ADA.id, [BYRON.id], 4)
    assert f"was {BYRON.id}, too" in whosthere("people", "show", ADA.id, cwd=home).out
    kept = whosthere(
        "events", "--since", "1970-01-01T00:00:01+00:00", "--person", "Ada Lovelace", "--json", cwd=home
    ).out.splitlines()
    assert {(event["event_id"], event["person"]["name"]) for event in map(json.loads, kept)} == {
        (visit, "Ada Lovelace") for visit in (before, other)
    }
    assert whosthere("people", "export", ADA.id, "ada.zip", cwd=home).code == 0
    assert before.encode() in (home / "ada.zip").read_bytes()
    told = whosthere("people", "forget", ADA.id, "--yes", "--json", cwd=home).document
    assert "2 kept visits erased" in [step["done"] for step in told["steps"]]
    with opened(home) as store:
        assert store.forgotten() == {ADA.id, BYRON.id}


def test_what_it_did_as_json(home: Path) -> None:
    with opened(home) as store:
        store.add_negative(ADA.id, negative_of(unit(300), number=1))  # one of Byron's own faces
    document = whosthere("people", "merge", BYRON.id, ADA.id, "--yes", "--json", cwd=home).document
    assert (document["id"], document["merged"], document["photos_added"]) == (ADA.id, BYRON.id, 2)
    assert document["left"][0]["done_by"] == "service"


@pytest.mark.parametrize(
    ("one", "into", "options", "code"),
    [
        (ADA.id, "Ada Lovelace", ["--yes"], "merge_refused"),
        (ADA.id, BOB.id, ["--yes"], "merge_refused"),
        (BYRON.id, ADA.id, [], "confirmation_needed"),
        ("nobody", ADA.id, ["--yes"], "person_not_found"),
        (ADA.id, "nobody", ["--yes"], "person_not_found"),
    ],
    ids=["itself", "two external ids", "nobody to ask", "nobody", "into nobody"],
)
def test_what_is_not_merged(home: Path, one: str, into: str, options: list[str], code: str) -> None:
    line = assert_refused(whosthere("people", "merge", one, into, *options, cwd=home), code)
    if code == "merge_refused" and into == BOB.id:
        assert "--external-id none" in line
    with opened(home) as store:
        assert (store.count(), store.merged()) == (3, {})


def test_photos_become_somebody_elses(home: Path) -> None:
    with opened(home) as store:
        first, second = (photo.id for photo in store.photos(ADA.id))
    document = whosthere(
        "people", "split", "ada lovelace", second, "--as", " Grace Hopper ", "--json", cwd=home
    ).document
    assert (document["person"]["id"], document["person"]["photos"]) == (ADA.id, 1)
    assert (document["new"]["name"], document["new"]["photos"], document["new"]["consent"]) == ("Grace Hopper", 1, None)
    for arguments, code in (
        ([first, "--as", "Mary"], "split_refused"),
        ([first, first, "--as", "Mary"], "split_refused"),
        ([9999, "--as", "Mary"], "photo_not_found"),
        ([first, "--as", "grace hopper"], "name_taken"),
        ([first, "--as", ""], "name_invalid"),
    ):
        assert_refused(whosthere("people", "split", ADA.id, *arguments, cwd=home), code)
    told = whosthere("people", "split", BOB.id, BOB_FIRST, "--as", "Rob", cwd=home)
    assert "no consent is known of p" in told.complaints[0]


@pytest.mark.parametrize("known_as", [ADA.id, "staff-1", None])
@pytest.mark.parametrize("command", [["split", "--as", "Grace"], ["remove-photo"]], ids=["split", "removed"])
def test_a_classifier_that_was_trained_with_such_photos_is_told_of(home: Path, command: list[str], known_as) -> None:
    """By the gallery's id, by that of another system, and not where it knows others alone."""
    people = json.dumps({"0": BOB.id, "1": known_as or BYRON.id}).encode()
    write(home / "model", {name: people if name == PEOPLE else b"x" for name in FILES})
    name, *options = command
    done = whosthere("people", name, ADA.id, 1, *options, "--json", cwd=home)
    assert done.code == 0, done.err
    assert done.document
    told = [line for line in done.complaints if line.startswith("the classifier in ")]
    assert len(told) == (known_as is not None)
    assert all(ADA.id in line and line.endswith("whosthere train") for line in told)


BOB_FIRST = 3  # photos are numbered as they came


def test_somebody_is_ignored_and_told_of_again(home: Path) -> None:
    done = whosthere("people", "ignore", "bob", cwd=home)
    assert done.out == f"Bob ({BOB.id}) is known, and never told of from now on\n"
    assert "ignored: known, and never told of" in whosthere("people", "show", "bob", cwd=home).out
    rows = whosthere("people", "list", "--json", cwd=home).document["people"]
    assert {row["name"]: row["ignored"] for row in rows} == {"Ada Byron": False, "Ada Lovelace": False, "Bob": True}
    assert whosthere("people", "ignore", "bob", "--undo", "--json", cwd=home).document["ignored"] is False
    assert_refused(whosthere("people", "ignore", "nobody", cwd=home), "person_not_found")
    with opened(home) as store:
        assert [dict(e.details) for e in store.audit_entries(BOB.id)[1:]] == [{"what": ["ignored"]}] * 2


def test_how_alike_two_are_is_told(home: Path) -> None:
    with opened(home) as store:
        best = max(float(one @ other) for one in (unit(100), unit(101)) for other in (unit(300), unit(301)))
        assert len(store.templates(SPACE)) == 6
    done = whosthere("people", "merge", BYRON.id, ADA.id, "--yes", cwd=home)
    assert f"a similarity of {best:.2f} in {SPACE}" in done.complaints[0]
