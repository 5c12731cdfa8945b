"""Two who were enrolled are one person: how alike they are, and what is left of the one who goes. Blocks."""

from typing import Any

import numpy as np

from gallery.people import Person
from gallery.storage.store import Merged, PersonStore
from streamer.erasure.report import Outcome
from streamer.erasure.steps import empty_topics
from streamer.erasure.task import Task
from streamer.settings import Settings


def likeness(store: PersonStore, person: Person, other: Person) -> dict[str, float]:
    """By space that both have templates in, the highest cosine between the two."""
    found = {}
    for space in person.templates.keys() & other.templates.keys():
        templates = store.all_templates(space)
        owners = np.array(templates.person_ids)
        one, two = (templates.matrix[owners == who.id] for who in (person, other))
        if len(one) and len(two):
            found[space] = float((one @ two.T).max())
    return found


def topics_after(merged_id: str, settings: Settings, actor: str) -> Outcome:
    """The broker retains nothing of an id that is another's now: a running service sees to that, and is waited for."""
    return empty_topics(Task(frozenset({merged_id}), settings, actor, in_service=False))


def merge_document(merged_id: str, done: Merged, alike: dict[str, float], topics: Outcome) -> dict[str, Any]:
    """What became of it, as JSON, beside who the person is now."""
    return {
        "merged": merged_id,
        "photos_added": done.photos,
        "negatives_erased": done.negatives,
        "similarity": {space: round(cosine, 4) for space, cosine in alike.items()},
        "left": [{"where": one.where, "why": one.why, "done_by": one.by} for one in topics.left],
    }
