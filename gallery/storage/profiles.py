"""Profiles and templates as they are kept, sealed, and as they were opened: each is opened once; and who does not open.

Not for two threads at once.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

from gallery.keys.encryption import SealBroken
from gallery.keys.vault import Vault, profile_place
from gallery.people import Profile, TemplateMark, Templates
from gallery.storage.rows import profile_from

Broken = dict[str, str]  # id -> what does not open
Row = tuple[str, bytes | None, bytes]  # id, profile_key, profile
# A changed byte makes a text of a blob, one that SQLite would not give out.
COLUMNS = "id, CAST(profile_key AS BLOB), CAST(profile AS BLOB)"


class OpenedProfiles:
    """Held by the bytes that they were sealed as: one that was written anew is opened anew."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[bytes, Profile]] = {}

    def of(
        self, rows: Iterable[Row], vault: Vault, *, everybody: bool = False, broken: Broken | None = None
    ) -> Mapping[str, Profile]:
        """By id. `everybody`: the rows are all there are, and whoever is not among them is held no more.

        Who does not open is put into `broken` and left out. Raises SealBroken without it.
        """
        found: dict[str, tuple[bytes, Profile]] = {}
        for person_id, wrapped, sealed in rows:
            kept = self._kept.get(person_id)
            if kept is None or kept[0] != sealed:
                try:
                    kept = (sealed, _opened(vault, person_id, wrapped, sealed))
                except SealBroken as error:
                    if broken is None:
                        raise
                    broken[str(person_id)] = str(error)
                    continue
            found[person_id] = kept
        if everybody:
            self._kept = found
        else:
            self._kept.update(found)
        return {person_id: profile for person_id, (_, profile) in found.items()}

    def drop(self, person_id: str) -> None:
        self._kept.pop(person_id, None)


class OpenedTemplates:
    """Those of each space, whole, for who asks for them again and again."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[TemplateMark, Templates]] = {}

    def of(
        self, space: str, mark: TemplateMark, after: Callable[[int], Templates], is_whole: Callable[[], bool]
    ) -> Templates:
        """`mark`: the store's, read before; after(id) reads those with a higher id. is_whole(): whether it left out
        none so far, without which their count tells nothing.
        """
        former, kept = self._kept.get(space, (None, None))
        if kept is None or former != mark:
            kept = kept.and_newer(after(int(kept.ids.max(initial=0)))) if kept is not None and is_whole() else None
            if kept is None or len(kept) != mark.count or not is_whole():  # somebody is gone
                kept = after(0)
            self._kept[space] = (mark, kept)
        return kept

    def drop(self) -> None:
        self._kept.clear()


class Unopened:
    """What the last reading of each kind met: of profiles and photos all, of templates those of a space."""

    def __init__(self) -> None:
        self._people: dict[str, Mapping[str, str]] = {}
        self._templates: dict[str, dict[int, tuple[str, str]]] = {}

    def met(self, kind: str, broken: Mapping[str, str]) -> None:
        """All of a kind were read, and these do not open."""
        self._people[kind] = dict(broken)

    def met_templates(
        self, space: str, after_id: int, last_id: int | None, broken: Mapping[int, tuple[str, str]]
    ) -> None:
        """Those above `after_id`, up to `last_id` (None: to the last), were read; of (id, what) these do not open."""
        kept = {
            number: what
            for number, what in self._templates.get(space, {}).items()
            if number <= after_id or (last_id is not None and number > last_id)
        }
        self._templates[space] = kept | dict(broken)

    def has_templates(self, space: str) -> bool:
        """Whether one of this space was left out."""
        return bool(self._templates.get(space))

    def keep_templates(self, ids: Collection[int]) -> None:
        """Of the templates that were left out, these are there still."""
        for space, broken in self._templates.items():
            self._templates[space] = {number: what for number, what in broken.items() if number in ids}

    @property
    def people(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for broken in self._templates.values():
            found.update(broken.values())
        for people in self._people.values():
            found.update(people)
        return found


def _opened(vault: Vault, person_id: str, wrapped: bytes | None, sealed: bytes) -> Profile:
    if not isinstance(person_id, str):  # a damaged row
        raise SealBroken(profile_place(person_id))
    return profile_from(vault.profile_cipher(person_id, wrapped).open(sealed, profile_place(person_id)), person_id)
