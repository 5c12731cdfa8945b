"""What became of the photos of one enrolment, and the words for it. Pure; any thread."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

from gallery.people import Person
from recognition.errors import CodedError

_MOST_TOLD = 5


class Taken(NamedTuple):
    path: Path
    quality: float


class LeftOut(NamedTuple):
    """A photo that is good and adds nothing; `why` as of Refused."""

    path: Path
    why: str


class Refused(NamedTuple):
    """`why` is one line without the path: what was wrong, what to do."""

    path: Path
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class EnrolReport:
    """`person` is as stored now, `added_to` says whether before this enrolment already.

    `already` are photos that the person had before or that were given twice; `left_out`: see diversity. `taken_back`:
    how many negatives of the person were erased by it.
    """

    person: Person
    added_to: bool
    taken: tuple[Taken, ...]
    already: tuple[Path, ...]
    left_out: tuple[LeftOut, ...]
    refused: tuple[Refused, ...]
    warnings: tuple[str, ...]
    taken_back: int = 0

    def told_as(self, refused: tuple[Refused, ...]) -> Self:
        """The same with the refused in other words."""
        return replace(self, refused=refused)


def refusal(path: Path, error: CodedError) -> Refused:
    return Refused(path, error.code, str(error).removeprefix(str(path)).lstrip(": "))


def nothing_accepted(refused: Sequence[Refused]) -> str:
    if not refused:
        return "no photo was given; give at least one"
    told = [f"{one.path}: {one.why} [{one.code}]" for one in refused[:_MOST_TOLD]]
    more = f" | and {len(refused) - _MOST_TOLD} more" if len(refused) > _MOST_TOLD else ""
    return f"no photo was accepted, nobody was enrolled: {' | '.join(told)}{more}"


def listed(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - _MOST_TOLD} more" if len(paths) > _MOST_TOLD else ""
    return ", ".join(str(path) for path in paths[:_MOST_TOLD]) + more


def by_reason(refused: Iterable[tuple[Path, str, str]], source: Path) -> tuple[Refused, ...]:
    """The refused pictures of one clip or camera: one for each code, with the reason of the first."""
    by_code: dict[str, list[str]] = {}
    for _, code, why in refused:
        by_code.setdefault(code, []).append(why)
    return tuple(
        Refused(source.with_name(f"{source.name}, {len(alike)} pictures"), code, alike[0])
        for code, alike in by_code.items()
    )
