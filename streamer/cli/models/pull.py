"""`models pull`: larger weights from their makers, for those with a network; what the catalogue has.

Nothing is fetched before its licence was shown and accepted. Bars go to stderr on a terminal, plain lines to a pipe.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from recognition.specs.files import load_specs
from recognition.zoo.catalogue import CatalogueEntry, find_entry, load_catalogue
from recognition.zoo.imports import ImportReport
from recognition.zoo.pull import already_here, pull
from streamer.cli.models.imports import (
    AcceptLicence,
    OwnCatalogue,
    accept,
    report_document,
    show_report,
    weights_folder,
)
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_table, settings_of
from streamer.settings import Settings

Names = Annotated[list[str] | None, typer.Argument(help="Catalogue entries; none: list them.", metavar="NAME")]
Again = Annotated[bool, typer.Option("--again", help="Fetch even what is here; it must be what came before.")]


def register(models: typer.Typer) -> None:
    models.command("pull", epilog="Example: whosthere models pull buffalo_l --accept-licence")(pull_models)


def pull_models(
    names: Names = None,
    accept_licence: AcceptLicence = False,
    again: Again = False,
    catalogue: OwnCatalogue = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Fetch weights from their makers into the first folder of paths.models; without a name, list what there is."""
    settings = settings_of(config, overrides)
    entries = load_catalogue(catalogue)
    if not names:
        _list(entries, settings, json)
        return
    chosen = [find_entry(name, entries) for name in dict.fromkeys(names)]
    folder = weights_folder(settings)
    here = {} if again else {entry.name: report for entry in chosen if (report := _here(entry, settings))}
    missing = [entry for entry in chosen if entry.name not in here]
    for entry in missing:
        _describe(entry, folder)
    if missing:
        accept(", ".join(entry.name for entry in missing), accept_licence)
    documents = []
    for entry in chosen:
        if entry.name in here:
            note(f"{entry.name}: is here already; --again fetches it again")
            report = here[entry.name]
        else:
            report = pull_entry(entry, folder, settings.paths.models)
        documents.append({"name": entry.name, **report_document(report)})
        if not json:
            show_report(report, folder)
    if json:
        print_json({"pulled": documents})


def _here(entry: CatalogueEntry, settings: Settings) -> ImportReport | None:
    return already_here(entry, weights_folder(settings), load_specs(beside=settings.paths.models))


def pull_entry(entry: CatalogueEntry, folder: Path, beside: Sequence[Path]) -> ImportReport:
    """Fetch one whose licence was accepted, with a bar; `beside`: weights folders. Raises what pull() raises."""
    try:
        with _progress(entry) as progress:
            return pull(entry, folder, load_specs(beside=beside), progress, note)
    except KeyboardInterrupt:
        note(f"{entry.name}: stopped; what was fetched stays, and the next pull goes on from there")
        raise


def _list(entries: dict[str, CatalogueEntry], settings: Settings, json: bool) -> None:
    rows = [(entry, _here(entry, settings) is not None) for entry in entries.values()]
    if json:
        print_json({"catalogue": [entry.model_dump(mode="json") | {"here": here} for entry, here in rows]})
        return
    print_table(
        ["name", "what", "size", "licence", "here"],
        [[e.name, e.what, megabytes(e.size), e.licence, "yes" if here else ""] for e, here in rows],
        "The catalogue is empty.",
    )


def _describe(entry: CatalogueEntry, folder: Path) -> None:
    note(f"{entry.name}: {entry.what}")
    note(f"  from     {entry.url} ({megabytes(entry.size)})")
    note(f"  into     {folder}")
    note(f"  sha256   {entry.sha256 or 'not known: that of the first download is recorded'}")
    note(f"  licence  {entry.licence}\n           {entry.licence_url}")


def megabytes(size: int) -> str:
    """A size as people say it."""
    return f"{size / 1e6:.1f} MB" if size < 1e7 else f"{size / 1e6:.0f} MB"


@contextmanager
def _progress(entry: CatalogueEntry) -> Iterator[Callable[[int, int | None], None]]:
    """What fetch() tells how far it is: a bar on a terminal, a line every tenth in a pipe."""
    if not sys.stderr.isatty():
        yield _Lines(entry)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(entry.name, total=entry.size)
        yield lambda done, total: bar.update(task, completed=done, total=total or entry.size)


class _Lines:
    """A line when it begins, and one for each tenth that is new."""

    def __init__(self, entry: CatalogueEntry) -> None:
        self._entry = entry
        self._tenth = -1

    def __call__(self, done: int, total: int | None) -> None:
        whole = max(total or self._entry.size, 1)
        if (tenth := min(done * 10 // whole, 10)) > self._tenth:
            self._tenth = tenth
            note(f"{self._entry.name}: {megabytes(done)} of {megabytes(whole)}")
