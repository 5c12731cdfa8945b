"""Whether somebody who comes from another gallery may: with a consent that goes on, and as nobody who is here already.

Blocks for reads of the gallery.
"""

import time
from collections.abc import Mapping

import numpy as np

from gallery.enrolment.likeness import others_alike
from gallery.errors import ConsentInvalid, EnrolledAlready
from gallery.portable import PortablePerson
from gallery.storage.store import PersonStore


def check_consent(person: PortablePerson, now: float) -> None:
    """Raises ConsentInvalid: the next purge would erase the person."""
    consent = person.profile.consent
    if consent is not None and consent.expires_at is not None and consent.expires_at <= now:
        day = time.strftime("%Y-%m-%d", time.localtime(consent.expires_at))
        raise ConsentInvalid(f"the consent of {person.id} was over on {day}; have it given anew where the ZIP is from")


def check_likeness(person: PortablePerson, store: PersonStore, thresholds: Mapping[str, float]) -> None:
    """thresholds: by space, the cosine from which on two faces are one person's. Raises EnrolledAlready."""
    for space, threshold in thresholds.items():
        made = [each.embedding for photo in person.photos for each in photo.templates if each.space == space]
        enrolled = store.templates(space)
        if not made or not len(enrolled) or len(made[0]) != enrolled.matrix.shape[1]:
            continue
        faces = np.stack(made)
        for other in others_alike(faces, faces[:0], enrolled.matrix, list(enrolled.person_ids), threshold):
            if other.same:
                raise EnrolledAlready(
                    f"{person.id} looks like {store.name_of(other.person_id)} ({other.person_id}), who is enrolled "
                    f"already (similarity {other.cosine:.2f} where {threshold:.2f} is one person's): forget one of the "
                    "two first, or use --force if this is another person"
                )
