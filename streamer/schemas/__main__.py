"""Writes the JSON Schema files anew; blocks."""

from streamer.schemas import IDENTITY, identity_schema

IDENTITY.write_text(identity_schema(), encoding="utf-8")
