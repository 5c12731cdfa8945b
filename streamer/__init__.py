"""Cameras, time and the outside world: ingest, tracking, events, MQTT, HTTP, command line."""

__version__ = "0.2.0"
