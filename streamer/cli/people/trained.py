"""What a classifier was taught of a person, and goes on with until it is trained anew: told where photos move or go."""

from gallery.people import Person
from streamer.cli.options import note
from streamer.naming.places import places_that_know
from streamer.settings import Settings


def note_classifiers(settings: Settings, person: Person) -> None:
    """Photos that were this person's are not any more."""
    known_as = {person.id, person.profile.external_id or person.id}
    for place in places_that_know(settings, known_as):
        note(
            f"the classifier in {place} was trained on {person.id}, perhaps with these photos: where cameras have "
            "names by it, such a face gets that name until it is trained anew: whosthere train"
        )
