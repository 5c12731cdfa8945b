"""Which larger weights there are to choose from, under which licence, and how much of the gap each closes.

Blocks for small files; no network is touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recognition.specs.files import load_specs
from recognition.specs.spec import ACCURACY_FMR, AnySpec, EmbedderSpec
from recognition.zoo.catalogue import CatalogueEntry
from recognition.zoo.pull import already_here
from streamer.settings_layers import Tree

OURS = "nano_embed"


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing to pull. knows: the share of genuine pairs above the cosine that ACCURACY_FMR of impostor pairs reach,
    of an embedder like this one; None where nobody measured it here. here: it was pulled before.
    """

    entry: CatalogueEntry
    knows: float | None
    here: bool


def offers(entries: Sequence[CatalogueEntry], folders: Sequence[Path]) -> list[Offer]:
    """Those with an embedder, the smallest first."""
    specs = load_specs(beside=folders)
    found = [
        Offer(entry, knows(entry.measured_as, specs), bool(folders and already_here(entry, folders[0], specs)))
        for entry in entries
        if "arcface" in entry.inputs
    ]
    return sorted(found, key=lambda offer: offer.entry.size)


def knows(embedder: str | None, specs: dict[str, AnySpec]) -> float | None:
    """As Offer says, in [0, 1]."""
    spec = specs.get(embedder or "")
    return spec.accuracy if isinstance(spec, EmbedderSpec) else None


def share_told(share: float | None) -> str:
    """In words."""
    return "not measured here" if share is None else f"{share:.1%}"


def errs_told() -> str:
    """By which errors `knows` goes."""
    return f"1 false match in {round(1 / ACCURACY_FMR):,}"


def recognition_of(taken: Sequence[AnySpec]) -> Tree:
    """What the configuration names of an entry that was pulled: its detector and its embedder."""
    roles = {"detector": "detector", "embedder": "embedder"}
    return {roles[spec.kind]: spec.name for spec in taken if spec.kind in roles}
