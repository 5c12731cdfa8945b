"""Where classifiers of this gallery's people lie: `train` writes it down, an erasure goes there. Blocks for disk."""

import json
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from gallery.classifier.errors import ClassifierDamaged, ClassifierMissing, ClassifierStale
from gallery.classifier.folder import people_of
from recognition.whole_file import held_alone, replacing
from streamer.settings import Settings


def trained_places(settings: Settings) -> list[Path]:
    """The configured folder, and every other that one was ever put into. Raises OSError."""
    return list(dict.fromkeys((settings.paths.classifier, *_noted(settings))))


def places_that_know(settings: Settings, person_ids: Collection[str]) -> list[Path]:
    """Those of them whose classifier was trained on one of these people, by the ids that it was trained with.

    Where the others can't be read, the configured one alone is looked at.
    """
    found, places = [], [settings.paths.classifier]
    with suppress(OSError):
        places = trained_places(settings)
    for place in places:
        with suppress(ClassifierMissing, ClassifierStale, ClassifierDamaged):
            if not people_of(place).isdisjoint(person_ids):
                found.append(place)
    return found


def note_place(settings: Settings, folder: Path) -> None:
    """Before a classifier is put there. Raises OSError."""
    folder = folder.absolute()
    if folder == settings.paths.classifier:
        return
    with held_alone(settings.classifiers_path):
        noted = _noted(settings)
        if folder not in noted:
            with replacing(settings.classifiers_path) as file:
                file.write(json.dumps([str(place) for place in (*noted, folder)], indent=2).encode())


def _noted(settings: Settings) -> list[Path]:
    try:
        noted = json.loads(settings.classifiers_path.read_bytes())
        return [Path(str(place)) for place in noted]
    except (FileNotFoundError, TypeError, ValueError):
        return []
