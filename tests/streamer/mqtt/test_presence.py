"""Who is there now, told from events alone: one visit, several, two cameras, somebody who is forgotten."""

import pytest

from streamer.mqtt.presence import Presence
from tests.streamer.messages import ADA, BOB, due

NAMES = {ADA: "Ada Lovelace", BOB: "Bob"}


class Clock:
    at = 2000.0

    def __call__(self) -> float:
        return self.at


def presence(names: dict[str, str] = NAMES, publish_names: bool = True) -> Presence:
    return Presence(names.get, publish_names, Clock())


def there(found: Presence, camera: str = "door") -> tuple[list[object], object]:
    document = found.camera(camera)
    return [person["id"] for person in document["people"]], document["unknown"]  # type: ignore[attr-defined]


def test_nobody_is_there_at_the_start():
    found = presence()
    assert found.camera("door") == {"people": [], "unknown": 0, "at": 2000.0}
    assert found.person(ADA, None) == {"present": False, "cameras": [], "since": 2000.0}
    assert found.person(ADA, 1500.0) == {"present": False, "cameras": [], "since": 1500.0}


# Visits told one after another: word, person, camera; who is at the door then, and how many unknown.
STORIES = [
    ("a1n ada door", [ADA], 0),
    ("a1n - door", [], 1),
    ("a1n ada door, a2e ada door", [], 0),
    ("a1n - door, a2u ada door", [ADA], 0),
    ("a1n ada door, a2u bob door", [BOB], 0),
    ("a1n ada door, a2u - door", [], 1),
    ("a1n ada door, b1n ada door, a2e ada door", [ADA], 0),
    ("a1n ada door, b1n ada door", [ADA], 0),
    ("a1n ada door, b1n - door, c1n - door, d1n bob hall", [ADA], 2),
    ("b1n bob door, a1n ada door", [BOB, ADA], 0),
    ("a2e ada door", [], 0),
]


@pytest.mark.parametrize(("story", "people", "unknown"), STORIES)
def test_a_camera_tells_who_is_before_it(story, people, unknown):
    found = presence()
    for at, line in enumerate(story.split(", ")):
        word, who, camera = line.split()
        person = {"ada": ADA, "bob": BOB, "-": None}[who]
        found.heard(due(word, person=person, camera=camera, captured_at=1000.0 + at).event)
    assert there(found) == (people, unknown)


def test_a_person_is_where_any_camera_sees_them_since_the_first_did():
    found = presence()
    assert found.heard(due("a1n", captured_at=1001.0).event) == {ADA}
    assert found.heard(due("b1n", camera="hall", captured_at=1011.0).event) == {ADA}
    assert found.person(ADA, None) == {"present": True, "cameras": ["door", "hall"], "since": 1000.0}
    found.heard(due("a2e", captured_at=1020.0).event)
    assert found.person(ADA, None) == {"present": True, "cameras": ["hall"], "since": 1010.0}
    found.heard(due("b2e", camera="hall", captured_at=1030.0).event)
    assert found.person(ADA, 1.0) == {"present": False, "cameras": [], "since": 1030.0}


def test_who_becomes_somebody_else_changes_both():
    found = presence()
    found.heard(due("a1n").event)
    assert found.heard(due("a2u", person=BOB, previous=ADA).event) == {ADA, BOB}
    assert not found.person(ADA, None)["present"]
    assert found.person(BOB, None)["present"]


def test_a_clock_that_is_set_moves_all_times():
    found = presence()
    found.heard(due("a1n").event)
    found.heard(due("b1n", camera="hall", person=BOB).event)
    found.heard(due("b2e", camera="hall", person=BOB).event)
    before = found.camera("door"), found.person(ADA, None), found.person(BOB, None)
    found.clock_stepped(100.0)
    after = found.camera("door"), found.person(ADA, None), found.person(BOB, None)
    assert after[0]["people"][0]["since"] == before[0]["people"][0]["since"] + 100.0  # type: ignore[index]
    assert after[0]["at"] == before[0]["at"] + 100.0  # type: ignore[operator]
    assert [each["since"] for each in after[1:]] == [each["since"] + 100.0 for each in before[1:]]  # type: ignore[operator]


@pytest.mark.parametrize("publish_names", [True, False])
def test_names_are_told_where_they_may_be(publish_names):
    found = presence(publish_names=publish_names)
    found.heard(due("a1n").event)
    (person,) = found.camera("door")["people"]  # type: ignore[misc]
    assert person == {"id": ADA, "name": "Ada Lovelace" if publish_names else None, "since": 999.0}  # type: ignore[unreachable]


def test_somebody_who_is_forgotten_while_there_is_unknown():
    names = dict(NAMES)
    found = presence(names)
    found.heard(due("a1n").event)
    del names[ADA]
    found.forget(ADA)
    assert there(found) == ([], 1)
    found.heard(due("a2e").event)
    assert there(found) == ([], 0)
