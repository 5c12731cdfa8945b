"""The JSON Schema that consumers hold our messages to is the one of the model, and real messages pass it."""

import json

import pytest
from jsonschema import Draft202012Validator, ValidationError

from streamer.events.event import IdentityEvent
from streamer.schemas import IDENTITY, identity_schema
from tests.streamer.messages import ADA, BOB, due

# As in INTERFACES.md, with what is shortened there written out.
EXAMPLE = {
    "schema": "whosthere.identity/1", "event_id": "01JD0000000000000000000000", "seq": 1, "type": "new",
    "camera": "door", "cameras": ["door"], "track_ids": ["door-17"],
    "person": {"id": "p7f3k2m9q1xz0", "name": "Ada Lovelace"}, "previous_person": None,
    "similarity": 0.71, "threshold": 0.42, "confidence": 0.98, "margin": 0.33, "quality": 0.83,
    "box": [612, 140, 701, 262], "frame": {"width": 1280, "height": 720},
    "first_seen_at": 1763674511.704, "captured_at": 1763674512.104, "published_at": 1763674512.161,
    "end_reason": None,
    "latency_ms": {"decode": 2.1, "queue": 0.8, "detect": 11.9, "embed": 6.2, "match": 0.3, "total": 57.0},
    "model": {"detector": "scrfd_500m", "embedder": "arcface_w600k_mbf", "signature": "s"}, "snapshot": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(IDENTITY.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_schema_in_the_repository_is_the_models():
    assert IDENTITY.read_text() == identity_schema(), "run: python -m streamer.schemas"


def test_the_documented_example_is_valid(validator):
    validator.validate(EXAMPLE)


@pytest.mark.parametrize(
    "event",
    [
        due("a1n").event,
        due("a2u", previous=ADA, person=None).event,
        due("a3e").event,
        due("a1n").event.model_copy(update={"snapshot": due("a1n").event.event_id}),
        due("a1n", candidates=(ADA, BOB), name="Ada").event,
    ],
    ids=["new", "update", "end", "kept", "ambiguous"],
)
def test_what_we_make_is_valid(validator, event):
    validator.validate(json.loads(event.model_dump_json(by_alias=True)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "whosthere.identity/2"),
        ("type", "gone"),
        ("decision", "poor"),
        ("candidates", [{"id": "somebody", "name": None, "similarity": 0.5}]),
        ("candidates", None),
        ("seq", 0),
        ("box", [1, 2, 3]),
        ("person", {"id": "Ada", "name": None}),
        ("confidence", 1.2),
        ("end_reason", "bored"),
        ("snapshot", "door.jpg"),
        ("snapshot", True),
    ],
)
def test_what_is_wrong_is_refused(validator, key, value):
    with pytest.raises(ValidationError):
        validator.validate(EXAMPLE | {key: value})


def test_what_a_later_version_adds_is_ignored(validator):
    grown = EXAMPLE | {"stream_late_ms": 6012.5, "surprise": 1, "frame": {**EXAMPLE["frame"], "depth": 3}}
    validator.validate(grown)
    read = IdentityEvent.model_validate(grown)
    assert read.stream_late_ms == 6012.5
    assert not hasattr(read, "surprise")
    assert IdentityEvent.model_validate(EXAMPLE).stream_late_ms is None


@pytest.mark.parametrize("key", sorted(EXAMPLE))
def test_every_key_is_always_there(validator, key):
    with pytest.raises(ValidationError):
        validator.validate({name: value for name, value in EXAMPLE.items() if name != key})


@pytest.mark.parametrize(("person", "decision"), [(ADA, "known"), (None, "unknown")])
def test_messages_of_before_have_a_decision_too(person, decision):
    document = json.loads(due("a1n", person=person).event.model_dump_json(by_alias=True))
    del document["decision"], document["candidates"]
    event = IdentityEvent.model_validate_json(json.dumps(document))
    assert (event.decision, event.candidates) == (decision, ())
