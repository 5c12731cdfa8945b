"""Whom a question to the audit log is about."""

import re

from gallery.storage.store import PersonStore

_ID = re.compile(r"p[a-z0-9]{12}")


def audited_id(store: PersonStore, person: str) -> str:
    """A person's id; that of somebody who was forgotten is taken as it is. Raises PersonNotFound, PersonAmbiguous."""
    given = person.strip().lower()
    return given if _ID.fullmatch(given) else store.find(person).id
