"""The weights of `setup`: what larger ones there are, what they bring and under which licence. Blocks for who answers.

Nothing is fetched here: that comes after the last question.
"""

from dataclasses import dataclass
from pathlib import Path

from recognition.specs.files import load_specs
from recognition.zoo.catalogue import CatalogueEntry, find_entry, load_catalogue
from streamer.cli.models.pull import megabytes
from streamer.cli.setup.asking import ask, confirm, heading, say, width
from streamer.cli.setup.draft import Draft
from streamer.setup.offers import OURS, Offer, errs_told, knows, offers, share_told

NONE = "nano"
_INDENT = 9  # of a row, by its number


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be pulled."""

    entry: CatalogueEntry
    catalogue: Path | None


def chosen_by_name(name: str, catalogue: Path | None) -> Chosen | None:
    """None: ours. Raises ModelNotFound."""
    return None if name == NONE else Chosen(find_entry(name, load_catalogue(catalogue)), catalogue)


def dialogue(draft: Draft, catalogue: Path | None) -> Chosen | None:
    """None: as it is."""
    heading(3, "Weights: how surely people are told apart")
    recognition = draft.tree.get("recognition")
    now = recognition.get("embedder", OURS) if isinstance(recognition, dict) else OURS
    folders = draft_folders(draft)
    found = offers(list(load_catalogue(catalogue).values()), folders)
    specs = load_specs(beside=folders)
    kept = f"nano, ours: here, works offline, {share_told(knows(OURS, specs))}"
    say(f"Of pairs of photos of one person it knows, at {errs_told()}:")
    say(f"  Enter  {kept if now == OURS else f'{now}, as it is now: {share_told(knows(now, specs))}'}")
    for number, offer in enumerate(found, 1):
        say(f"  {number:>5}  {_row(offer, width())}")
    while True:
        answer = ask("Larger ones from their makers (a number; Enter: none)")
        if not answer:
            return None
        if not answer.isdecimal() or not 0 < int(answer) <= len(found):
            say(f"  a number from 1 to {len(found)}, or Enter")
            continue
        entry = found[int(answer) - 1].entry
        say(f"  {entry.name}: {entry.what}; from {entry.url}")
        say(f"  licence: {entry.licence}\n           {entry.licence_url}")
        if confirm("  Do you accept this licence, and will you keep to it?", default=False):
            return Chosen(entry, catalogue)


def draft_folders(draft: Draft) -> list[Path]:
    """Where weights lie."""
    paths = draft.tree.get("paths")
    named = paths.get("models") if isinstance(paths, dict) else None
    folders = named if isinstance(named, list) else ["model/artifacts"]
    return [draft.file.parent / Path(str(folder)).expanduser() for folder in folders]


def _row(offer: Offer, room: int | None) -> str:
    """The licence below the rest where the terminal is too narrow for both."""
    entry = offer.entry
    size = "here already" if offer.here else megabytes(entry.size)
    row = f"{entry.name:14} {size:>12}  {share_told(offer.knows):17}"
    fits = room is None or _INDENT + len(row) + 2 + len(entry.licence) < room
    return f"{row}  {entry.licence}" if fits else f"{row.rstrip()}\n{'':{_INDENT}}{entry.licence}"
