"""What `enrol` says of what became of people and their photos: lines for a reader, JSON for a program."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gallery.enrolment.enrol import EnrolReport, Outcome
from gallery.enrolment.listing import Listing
from gallery.errors import NoPhotoAccepted
from recognition.errors import CodedError
from streamer.cli.options import note, print_line
from streamer.people.enrolment_document import document, nobody, refusals

_MOST_WARNED = 20  # lines to be read, where thousands are enrolled

Refusals = Sequence[tuple[Path, str, str]]


def show(report: EnrolReport, given: int, what: str = "photos") -> None:
    """Of one person, from so many photos or pictures."""
    for path, quality in report.taken:
        print_line(f"taken    {path} (quality {quality:.2f})")
    for path in report.already:
        print_line(f"already  {path} (enrolled before, or given twice)")
    if what == "photos":
        for path, why in report.left_out:
            print_line(f"left out {path}: {why}")
    show_refused(report.refused)
    for warning in report.warnings:
        note(f"warning: {warning}")
    print_line(f"{report.person.name} ({report.person.id}): {_done(report, given, what)}")


def _done(report: EnrolReport, given: int, what: str) -> str:
    done = f"{len(report.taken)} of {given} {what} enrolled"
    if report.added_to:
        done = f"{len(report.taken)} of {given} {what} added, {report.person.photos} in all"
    if report.left_out:
        done += f" ({len(report.left_out)} left out: they add nothing)"
    return done


def show_refused(refused: Refusals) -> None:
    for path, code, why in refused:
        print_line(f"refused  {path}: {why} [{code}]")


@dataclass(slots=True)
class Tally:
    """Of many people; `passed`: photos that were good, whether they add something or not."""

    enrolled: int = 0
    added_to: int = 0
    taken: int = 0
    left_out: int = 0
    passed: int = 0
    refused: int = 0
    failed: int = 0
    warnings: int = 0

    def count(self, outcome: Outcome) -> None:
        report = outcome.report
        if report is None:
            self.failed += 1
            self.refused += len(outcome.sitter.photos)
            return
        self.enrolled += not report.added_to
        self.added_to += report.added_to
        self.taken += len(report.taken)
        self.left_out += len(report.left_out)
        self.passed += len(report.taken) + len(report.already) + len(report.left_out)
        self.refused += len(report.refused)


def show_outcome(outcome: Outcome, tally: Tally) -> None:
    """A line for each person, one more for each photo that was refused."""
    sitter, report = outcome.sitter, outcome.report
    if report is None:
        error = outcome.error
        if isinstance(error, NoPhotoAccepted):
            show_refused(error.refused)
            print_line(f"{sitter.who.name}: not enrolled, no photo was accepted")
        elif error is not None:
            print_line(f"refused  {sitter.who.name}: {error} [{error.code}]")
        return
    show_refused(report.refused)
    if not report.taken:
        print_line(f"{report.person.name} ({report.person.id}): nothing to add, {report.person.photos} photos in all")
    else:
        given = len(sitter.photos)
        print_line(f"{report.person.name} ({report.person.id}): {_done(report, given, 'photos')}")
    for warning in report.warnings:
        tally.warnings += 1
        if tally.warnings <= _MOST_WARNED:
            note(f"warning: {report.person.name}: {warning}")


def show_store(listing: Listing) -> None:
    """Another program's, and what of it is nobody's."""
    if listing.program:
        note(f"{listing.program}: {listing.photos} pictures of {len(listing.sitters)} people")
    if listing.attempts:
        note(f"{listing.attempts} pictures that {listing.program} filed under nobody are left out")


def show_tally(tally: Tally, listing: Listing) -> None:
    show_refused(listing.refused)
    if listing.ignored:
        note(f"{listing.ignored} other files are no photos")
    if tally.warnings > _MOST_WARNED:
        note(f"warning: and {tally.warnings - _MOST_WARNED} more; --json has them all")
    people = [f"{tally.enrolled} people enrolled"]
    people += [f"{tally.added_to} were enrolled before"] if tally.added_to else []
    people += [f"{tally.failed} refused"] if tally.failed else []
    photos = [f"{tally.taken} taken"]
    photos += [f"{tally.left_out} left out"] if tally.left_out else []
    photos += [f"{tally.refused + len(listing.refused)} refused"]
    print_line(f"{', '.join(people)}; of {listing.given} photos {', '.join(photos)}")


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    if outcome.report is not None:
        return {"given_as": outcome.sitter.who.name, **document(outcome.report), "error": None}
    error = outcome.error
    told = nobody(error.refused if isinstance(error, NoPhotoAccepted) else ())
    return {"given_as": outcome.sitter.who.name, **told, "error": None if error is None else _error(error)}


def _error(error: CodedError) -> dict[str, str]:
    return {"code": error.code, "why": str(error)}


def people_document(people: list[dict[str, Any]], tally: Tally, listing: Listing) -> dict[str, Any]:
    return {
        "people": people,
        "refused": refusals(listing.refused),
        "other_files": listing.ignored,
        "program": listing.program or None,
        "attempts_left_out": listing.attempts,
        "counts": {
            "enrolled": tally.enrolled,
            "added_to": tally.added_to,
            "not_enrolled": tally.failed,
            "photos": listing.given,
            "photos_taken": tally.taken,
            "photos_left_out": tally.left_out,
            "photos_refused": tally.refused + len(listing.refused),
        },
    }
