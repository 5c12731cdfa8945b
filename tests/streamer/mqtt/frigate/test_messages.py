"""What automations of Frigate's users read: type, before and after, sub_label, scores, times."""

from typing import Any

import orjson
import pytest

from streamer.events.event import IdentityEvent, named
from streamer.mqtt.frigate.messages import FrigateMessages
from tests.streamer.messages import ADA, BOB, due

NAMES = {ADA: "Ada Lovelace", BOB: "Bob"}


def told(event: IdentityEvent, *, levels: int = 1) -> dict[str, dict[str, Any]]:
    messages = FrigateMessages("f")
    payloads = messages.payloads(event, changes_identity=levels > 1)
    assert list(payloads) == messages.topics(event)
    return {topic: orjson.loads(payload) for topic, payload in payloads.items()}


def event(word: str, **changes: Any) -> IdentityEvent:
    return named(due(word, **changes).event, NAMES.get)


def test_who_comes_is_told_as_an_object_and_as_a_face():
    found = told(event("a1n", captured_at=1000.0))
    after = found["f/events"]["after"]

    assert found["f/events"]["type"] == "new"
    assert (after["id"], after["camera"], after["label"]) == ("0" * 25 + "A", "door", "person")
    assert after["sub_label"] == ["Ada Lovelace", 0.9]
    assert (after["start_time"], after["frame_time"], after["end_time"]) == (999.0, 1000.0, None)
    assert (after["box"], after["area"], after["ratio"]) == ([10, 20, 110, 120], 10_000, 1.0)
    assert (after["top_score"], after["score"], after["false_positive"]) == (0.8, 0.8, False)
    assert (after["has_snapshot"], after["snapshot"], after["active"]) == (False, None, True)
    assert found["f/events"]["before"] == after | {"sub_label": None}
    assert found["f/tracked_object_update"] == {
        "type": "face",
        "id": after["id"],
        "name": "Ada Lovelace",
        "score": 0.9,
        "camera": "door",
        "timestamp": 1000.0,
    }


@pytest.mark.parametrize(
    ("word", "changes", "levels", "before", "after"),
    [
        ("a2u", {}, 1, ["Ada Lovelace", 0.9], ["Ada Lovelace", 0.9]),  # surer
        ("a2u", {}, 2, None, ["Ada Lovelace", 0.9]),  # was unknown
        ("a2u", {"previous": BOB}, 2, ["Bob", None], ["Ada Lovelace", 0.9]),
        ("a2u", {"person": None, "previous": ADA}, 2, ["Ada Lovelace", None], None),
        ("a2u", {"candidates": [ADA, BOB]}, 1, None, None),
        ("a3e", {}, 1, ["Ada Lovelace", 0.9], ["Ada Lovelace", 0.9]),
        ("a1n", {"person": None}, 1, None, None),
    ],
)
def test_what_an_update_changes_is_in_before_and_after(word, changes, levels, before, after):
    found = told(event(word, **changes), levels=levels)

    assert (found["f/events"]["before"]["sub_label"], found["f/events"]["after"]["sub_label"]) == (before, after)
    assert ("f/tracked_object_update" in found) == (after is not None and not word.endswith("e"))


def test_who_leaves_has_an_end():
    found = told(event("a3e", captured_at=1000.0))["f/events"]

    assert (found["before"]["end_time"], found["after"]["end_time"]) == (None, 1000.0)


def test_a_kept_visit_has_a_snapshot():
    after = told(event("a1n").model_copy(update={"snapshot": "0" * 26}))["f/events"]["after"]

    assert after["has_snapshot"]
    assert after["snapshot"]["box"] == [10, 20, 110, 120]


def test_where_names_are_not_published_the_id_stands_for_the_name():
    found = told(named(due("a1n").event, lambda _: None))

    assert found["f/events"]["after"]["sub_label"] == [ADA, 0.9]
    assert found["f/tracked_object_update"]["name"] == ADA
