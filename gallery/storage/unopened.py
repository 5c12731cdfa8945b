"""Who is in the gallery's file and does not open any more: left out of what is read, and told.

Pure; not for two threads at once.
"""

from collections.abc import Collection, Mapping

Broken = dict[str, str]  # id -> what does not open


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
