"""`models use`: a choice by hand goes into the data folder; a running service follows it, and says so in models.json.

Blocks for up to half a minute while a running service loads what was chosen.
"""

import json as json_reader
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from recognition.models.manager import ModelManager
from recognition.specs.spec import EmbedderSpec
from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, settings_of
from streamer.errors import PeopleNotCovered
from streamer.model_layer.coverage import coverage_in
from streamer.model_layer.manual_choice import ModelChoice, write_choice
from streamer.model_layer.setup import ladder_of, make_manager
from streamer.process import make_data_folder, open_gallery, service_runs
from streamer.settings import Settings

AUTO = "auto"
WITHIN_S = 30.0
POLL_S = 0.1

Document = dict[str, Any]


def use_model(
    name: Annotated[
        str, typer.Argument(help="An embedder, as `models list` shows it; auto: the service chooses.", metavar="MODEL")
    ],
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Have one embedder serve, whatever memory and load say, until `models use auto`; a running service follows."""
    settings = settings_of(config, overrides, log_level="warning")
    chosen = None if name == AUTO else _may_serve(name, settings)
    make_data_folder(settings.paths.data)
    runs = service_runs(settings.paths.data)
    write_choice(settings.model_choice_path, ModelChoice(chosen))
    if runs:
        note(f"a service runs with {settings.paths.data}; waiting for what it says")
    outcome = _outcome(chosen, _answer(settings.manifest_path, chosen) if runs else None, runs)
    if json:
        print_json({**outcome, "file": str(settings.model_choice_path)})
    else:
        _show(outcome)
    if outcome["refused"] is not None:
        _tell_refusal(outcome)
        raise typer.Exit(1)


def _may_serve(name: str, settings: Settings) -> str:
    """The spec's own name. Raises ModelNotFound, what speaks against its weights, PeopleNotCovered."""
    manager = make_manager(settings)
    spec = manager.spec_of(name, EmbedderSpec)
    manager.need(spec.name)
    from streamer.checks import verify_model  # with all of HTTP, which the other commands do without

    verify_model(spec, manager, settings.paths.models)
    ladder = ladder_of(settings, manager)
    _hold_to_coverage(spec, ladder, manager, settings)
    if spec.name not in ladder:
        note(f"{spec.name} is not in recognition.ladder: name it there, and enrolment makes its templates at once")
    return spec.name


def _hold_to_coverage(spec: EmbedderSpec, ladder: tuple[str, ...], manager: ModelManager, settings: Settings) -> None:
    """Raises PeopleNotCovered where the service would refuse the model for that."""
    if not settings.gallery_path.is_file():
        return
    others = [other for other in ladder if manager.why_not(other) is None]
    with open_gallery(settings) as store:
        against = coverage_in(store, manager, {spec.name, *others}).against(spec.name, others)
    if against is not None:
        raise PeopleNotCovered(f"model {spec.name}: {against.why}")


def _answer(manifest: Path, chosen: str | None) -> Document | None:
    """What the service says once it knows of the choice; None where it says nothing in time."""
    until_s = time.monotonic() + WITHIN_S
    while time.monotonic() < until_s:
        document = _read(manifest)
        if document is not None and answers(document, chosen):
            return document
        time.sleep(POLL_S)
    return None


def _read(manifest: Path) -> Document | None:
    try:
        found = json_reader.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def answers(document: Document, chosen: str | None) -> bool:
    """Whether this is what the service has to say of the choice: it is followed, or refused."""
    if document.get("by_hand") != chosen:
        return False
    refused = document.get("by_hand_refused") is not None
    return chosen is None or refused or document["embedder"]["name"] == chosen


def _outcome(chosen: str | None, answer: Document | None, runs: bool) -> Document:
    """`outcome`: next_start (no service runs), pending (it has not answered yet), refused, or serving."""
    serving = None
    if answer is not None:
        serving = {key: answer["embedder"][key] for key in ("name", "device", "reason", "why")}
    refused = answer["by_hand_refused"] if answer is not None and chosen is not None else None
    outcome = "refused" if refused else "serving" if serving else "pending" if runs else "next_start"
    return {"chosen": chosen, "outcome": outcome, "serving": serving, "refused": refused}


def _show(outcome: Document) -> None:
    chosen, serving = outcome["chosen"], outcome["serving"]
    what = chosen or "what the selector chooses"
    if outcome["outcome"] == "next_start":
        print_line(f"no service runs with this data folder: {what} serves from the next start on")
    elif outcome["outcome"] == "pending":
        print_line(f"written; the service has not answered within {WITHIN_S:.0f} s: its log says what it does")
    else:
        if chosen is None:
            print_line("the selector chooses again; it goes to a better one when it may (recognition.minimum_stay_s)")
        print_line(f"{serving['name']} serves now on {serving['device']} [{serving['reason']}]: {serving['why']}")


def _tell_refusal(outcome: Document) -> None:
    refused, chosen = outcome["refused"], outcome["chosen"]
    why = f"{chosen} does not serve: {refused['why']}; it will once it can, `whosthere models use auto` takes that back"
    sys.stderr.write(f"whosthere: {' '.join(why.split())} [{refused['code']}]\n")
