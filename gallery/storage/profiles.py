"""Profiles and templates as they are kept, sealed, and as they were opened: each is opened once.

Not for two threads at once.
"""

from collections.abc import Callable, Iterable, Mapping

from gallery.keys.encryption import SealBroken
from gallery.keys.vault import Vault, profile_place
from gallery.people import Profile, TemplateMark, Templates
from gallery.storage.rows import profile_from
from gallery.storage.unopened import Broken

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


def _opened(vault: Vault, person_id: str, wrapped: bytes | None, sealed: bytes) -> Profile:
    if not isinstance(person_id, str):  # a damaged row
        raise SealBroken(profile_place(person_id))
    return profile_from(vault.profile_cipher(person_id, wrapped).open(sealed, profile_place(person_id)), person_id)
