"""Whom an erasure is about: also somebody of whom nothing opens any more, or who was forgotten before. Blocks."""

from gallery.errors import GallerySealBroken, PersonNotFound
from gallery.storage.store import PersonStore


def whom_to_forget(store: PersonStore, who: str) -> tuple[str, str]:
    """The id, and what is asked before. Raises PersonNotFound and PersonAmbiguous."""
    person_id = who.strip().lower()
    try:
        person = store.find(who)
    except GallerySealBroken:
        if not store.is_enrolled(person_id):
            raise
        return person_id, f"Erase {person_id}, of whom not everything can be read any more?"
    except PersonNotFound as error:
        if person_id in store.forgotten():
            return person_id, f"{person_id} was forgotten before; erase what is left of them?"
        if not store.audit_entries(person_id):
            if store.unfinished():  # by the name nobody can tell whom: it went first
                raise PersonNotFound(f"{error}; somebody's erasure was not finished: whosthere gallery purge") from None
            raise
        return person_id, f"{person_id} is enrolled no more; erase what is left of them?"
    return person.id, f"Erase {person.name} ({person.id}), photos, templates, kept visits and waiting events included?"
