"""JSON Schemas of what goes over the wire, for consumers in any language; made from the models in events.py.

`python -m streamer.schemas` writes the files; a test holds them to the models.
"""

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from streamer.events.event import IdentityEvent

IDENTITY = Path(__file__).with_name("identity-1.schema.json")


# Of /1, and yet younger than it: messages that somebody kept don't have them.
ADDED = ("stream_late_ms", "decision", "candidates")


class _EveryKey(GenerateJsonSchema):
    """A message has all its keys, also those that a model has defaults for."""

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: ANN401 (pydantic's own signature)
        return True


def identity_schema() -> str:
    """The JSON Schema (2020-12) of an identity event: every key of its first day is there, some are null."""
    schema = IdentityEvent.model_json_schema(schema_generator=_EveryKey, mode="serialization")
    schema["required"] = [key for key in schema["required"] if key not in ADDED]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:whosthere:identity:1",
        "title": "whosthere identity event",
    }
    return json.dumps(head | {key: schema[key] for key in schema if key != "title"}, indent=2) + "\n"
