"""Somebody who comes in a ZIP from another gallery. Blocks."""

from gallery.copies.arrival import check_age, check_consent, check_likeness, check_sizes
from gallery.people import Person
from gallery.portable import PortablePerson
from gallery.storage.store import PersonStore
from recognition.models.manager import ModelManager
from streamer.model_layer.enrolling import naming_thresholds, space_sizes
from streamer.settings import Settings


def check_arrival(person: PortablePerson, settings: Settings, manager: ModelManager, now: float) -> None:
    """Whether the person may stay here. Raises ConsentInvalid, PersonFileOutdated and PersonFileInvalid."""
    check_consent(person, now)
    check_age(person, now, settings.gallery.keep_days)
    check_sizes(person, space_sizes(manager))


def arrive(
    person: PortablePerson, store: PersonStore, settings: Settings, manager: ModelManager, *, force: bool
) -> Person:
    """With the id of there. force: also who looks like a person of another name. Raises PersonForgotten, PersonIdTaken,
    NameTaken, ExternalIdTaken, EnrolledAlready and EmbeddingSpaceMismatch.
    """
    store.check_free(person.profile, person.id)
    if not force:
        check_likeness(person, store, naming_thresholds(settings, manager))
    return store.add_portable(person)
