"""What an erasure has erased, and what is left of it: plain data, for people and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

DoneBy = Literal["service", "purge", "you"]
DONE_BY: dict[DoneBy, str] = {
    "service": "the service erases it when it runs and the broker is there",
    "purge": "the next purge does it: the service's daily one, or whosthere gallery purge",
    "you": "",
}


@dataclass(frozen=True, slots=True)
class Left:
    """Something of the forgotten that is still there, why, and who does something about it.

    `is_copy`: a file that is none of ours.
    """

    where: str
    why: str
    by: DoneBy
    is_copy: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.why}" + (f"; {DONE_BY[self.by]}" if DONE_BY[self.by] else "")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step has done, in words, and what it had to leave. `spared`: the ids of whom nothing is to be erased.
    `counts`: how many of what were erased, by their names. `visits`: how many were kept of them when it began.
    """

    done: str
    left: tuple[Left, ...] = ()
    spared: frozenset[str] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)
    visits: int = 0


@dataclass(frozen=True, slots=True)
class StepTaken:
    """A step by its name; after_s: when it was over, counted from the beginning."""

    name: str
    outcome: Outcome
    after_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """Of one erasure of people, by id: those who are erased."""

    person_ids: tuple[str, ...]
    steps: tuple[StepTaken, ...]

    @property
    def left(self) -> tuple[Left, ...]:
        """Each once: a step may leave what the search finds."""
        return tuple(dict.fromkeys(left for step in self.steps for left in step.outcome.left))

    @property
    def for_you(self) -> tuple[Left, ...]:
        """What stays if nobody does anything."""
        return tuple(left for left in self.left if left.by == "you")

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left for another erasure: the service, at each start, does its part for all."""
        return all(left.by == "service" or left.is_copy for left in self.left)

    def document(self) -> dict[str, object]:
        """As JSON."""
        return {
            "complete": not self.left,
            "steps": [
                {"step": step.name, "done": step.outcome.done, "after_s": round(step.after_s, 3)} for step in self.steps
            ],
            "counts": {name: count for step in self.steps for name, count in step.outcome.counts.items()},
            "left": [{"where": left.where, "why": left.why, "done_by": left.by} for left in self.left],
        }


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 photo`, `2 photos`."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
