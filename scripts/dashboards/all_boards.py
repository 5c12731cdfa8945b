"""All dashboards: file name -> what it holds. Pure."""

from typing import Any

from scripts.dashboards import cameras, events, gallery, models, overview
from scripts.dashboards.boards import board


def dashboards() -> dict[str, dict[str, Any]]:
    """In the order in which they are read: the whole first."""
    return {
        "overview.json": board(
            "whosthere-overview",
            "whosthere: overview",
            "Whether the service is well, what it sees, and what it costs.",
            overview.panels(),
            page="operations.md",
        ),
        "cameras.json": board(
            "whosthere-cameras",
            "whosthere: cameras",
            "Which cameras send, what becomes of their frames, how good their faces are.",
            cameras.panels(),
            page="cameras.md",
            has_cameras=True,
        ),
        "models.json": board(
            "whosthere-models",
            "whosthere: models and memory",
            "Which models serve where, how busy they are, what was exchanged and why, and the memory that is left.",
            models.panels(),
            page="models.md",
        ),
        "gallery.json": board(
            "whosthere-gallery",
            "whosthere: gallery and accuracy",
            "Who is enrolled in numbers, how sure verdicts are, how soon a name comes, and what the threshold rests "
            "on.",
            gallery.panels(),
            page="accuracy.md",
        ),
        "events.json": board(
            "whosthere-events",
            "whosthere: events and outbox",
            "What is told, what waits and why, what was lost, and who else listens.",
            events.panels(),
            page="mqtt.md",
        ),
    }
