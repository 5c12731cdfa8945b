"""Whether somebody who comes from another gallery may: to stay, with templates of this gallery's models, as nobody who
is here already.

Blocks for reads of the gallery.
"""

import time
from collections.abc import Mapping

import numpy as np

from gallery.enrolment.likeness import others_alike
from gallery.errors import ConsentInvalid, EnrolledAlready, PersonFileInvalid, PersonFileOutdated
from gallery.portable import PortablePerson
from gallery.retention import DAY_S
from gallery.storage.store import PersonStore


def check_consent(person: PortablePerson, now: float) -> None:
    """Raises ConsentInvalid: the next purge would erase the person."""
    consent = person.profile.consent
    if consent is not None and consent.expires_at is not None and consent.expires_at <= now:
        day = time.strftime("%Y-%m-%d", time.localtime(consent.expires_at))
        raise ConsentInvalid(f"the consent of {person.id} was over on {day}; have it given anew where the ZIP is from")


def check_age(person: PortablePerson, now: float, keep_days: float | None) -> None:
    """keep_days None: however old. Raises PersonFileOutdated: the next purge would erase the person."""
    newest = max((photo.added_at for photo in person.photos), default=person.created_at)
    if keep_days is not None and newest + keep_days * DAY_S <= now:
        day = time.strftime("%Y-%m-%d", time.localtime(newest))
        raise PersonFileOutdated(
            f"the newest photo of {person.id} is of {day}, and people are kept here for {keep_days:g} days "
            "(gallery.keep_days): enrol the person anew"
        )


def check_sizes(person: PortablePerson, sizes: Mapping[str, int]) -> None:
    """sizes: by space how many numbers its model gives; of other spaces any will do. Raises PersonFileInvalid."""
    for template in (template for photo in person.photos for template in photo.templates):
        want, got = sizes.get(template.space, len(template.embedding)), len(template.embedding)
        if want != got:
            raise PersonFileInvalid(
                f"a template of {person.id} has {got} numbers, and those of {template.space} have {want}: it was not "
                "made by that model; enrol the person anew"
            )


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
