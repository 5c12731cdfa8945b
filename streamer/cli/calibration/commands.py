"""`calibrate`: thresholds for the rate of false names that the user wants. A running service takes them at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from gallery.matching.calibration import check_fpir
from gallery.people import Profile
from streamer.cli.calibration.look_alikes import show_alike
from streamer.cli.calibration.plots import draw
from streamer.cli.calibration.report import show
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, settings_of
from streamer.cli.plots import folder_for_plots
from streamer.cli.progress import progress_of
from streamer.errors import OutputUnwritable
from streamer.model_layer.calibrating import GalleryReport, calibrate_gallery, keep
from streamer.model_layer.setup import make_manager
from streamer.people.calibrated import calibration_document
from streamer.people.look_alikes import alike_rows
from streamer.process import make_data_folder, open_gallery


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: whosthere calibrate --fpir 0.001")(calibrate)


def calibrate(
    fpir: Annotated[
        float, typer.Option(help="Let so large a share of strangers be named as somebody, no more.", metavar="SHARE")
    ] = 0.001,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show all of it, write nothing to the gallery.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures; default calibration, none with --json.", metavar="DIR")
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Compute the thresholds from which people are named, for this gallery and a rate of false names."""
    settings = settings_of(config, overrides, log_level="error")
    check_fpir(fpir)
    folder = folder_for_plots(out, None if json else Path("calibration"))
    make_data_folder(settings.paths.data)
    manager = make_manager(settings)
    with open_gallery(settings) as store, progress_of("faces compared") as told:
        report = calibrate_gallery(settings, manager, store, fpir, lambda _: told)
        profiles = store.profiles()
        if not dry_run:
            keep(store, report)
    if json:
        print_json(calibration_document(report, fpir, profiles, written=not dry_run))
    else:
        _tell(report, profiles, dry_run)
    for error in report.failed.values():
        note(f"not calibrated: {error} [{error.code}]")
    if folder is not None:
        _draw(report, folder)


def _tell(report: GalleryReport, profiles: Mapping[str, Profile], dry_run: bool) -> None:
    show(report)
    for one in report.spaces:
        show_alike(alike_rows(one.scores.look_alikes, profiles, one.policy), one.policy.space, one.policy.threshold)
    for one in report.spaces:
        if one.policy.is_configured:
            note(
                f"warning: gallery.threshold ({one.policy.threshold:.3f}) is set and counts; take it out of the "
                f"configuration, and the calibration of {one.policy.space} does"
            )
    note("nothing was written (--dry-run)" if dry_run else "the gallery has these thresholds now")


def _draw(report: GalleryReport, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drawn = [path for one in report.spaces for path in draw(one, folder)]
    except OSError as error:
        raise OutputUnwritable(f"{folder} can't be written ({error.strerror}); choose another --out") from None
    note(f"pictures: {', '.join(map(str, drawn))}")
