"""`models use`: a choice by hand goes into the data folder; a running service follows it, and says so in models.json.

Blocks for up to half a minute while a running service loads what was chosen.
"""

import json as json_reader
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from streamer.cli.options import AsJson, ConfigFile, Overrides, note, print_json, print_line, settings_of
from streamer.model_layer.manual_choice import AUTO, Document, ModelChoice, answers, write_choice
from streamer.model_layer.setup import make_manager
from streamer.process import make_data_folder, service_runs
from streamer.settings import Settings

WITHIN_S = 30.0
POLL_S = 0.1


def register(models: typer.Typer) -> None:
    models.command("use", epilog="Example: whosthere models use arcface_w600k_mbf")(use_model)


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
    chosen = None if name == AUTO else _chosen(name, settings)
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


def _chosen(name: str, settings: Settings) -> str:
    """The spec's own name. Raises what may_serve() raises."""
    from streamer.model_layer.choosing import may_serve  # with the whole model layer, which `auto` does without

    choosable = may_serve(name, settings, make_manager(settings))
    if not choosable.is_in_ladder:
        note(f"{choosable.name} is not in recognition.ladder: name it there, and enrolment makes its templates at once")
    return choosable.name


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
