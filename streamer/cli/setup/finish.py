"""What `setup` does once all is answered: weights, files, people, a token, `check`, and what to type next.

Blocks. From the moment that the files are there, what fails afterwards is told, and the rest is done.
"""

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from gallery.enrolment.enrol import Outcome
from recognition.errors import CodedError
from recognition.specs.files import load_specs
from recognition.zoo.pull import already_here
from streamer.access.token_file import make_token, read_tokens
from streamer.cli.enrolment import telling
from streamer.cli.enrolment.command import enrol_listing
from streamer.cli.models.pull import pull_entry
from streamer.cli.options import note, print_finding, print_line
from streamer.cli.setup.asking import say, waiting, wrong
from streamer.cli.setup.draft import Draft
from streamer.cli.setup.faces import People
from streamer.cli.setup.weights import Chosen, draft_folders
from streamer.process import make_data_folder, service_runs
from streamer.settings import Settings
from streamer.settings_reading import load
from streamer.setup.document import hidden
from streamer.setup.offers import recognition_of
from streamer.setup.trying import checked
from streamer.setup.writing import Written, write
from streamer.variables import set_outside

TOKEN = "setup"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be done besides."""

    weights: Chosen | None
    people: People | None
    token: bool


@dataclass(slots=True)
class Done:
    """What was done; errors: what was not, though it was wanted."""

    written: Written | None = None
    weights: str | None = None
    people: dict[str, Any] | None = None
    token: dict[str, str] | None = field(default=None, repr=False)
    checks: list[dict[str, Any]] = field(default_factory=list)
    next: list[str] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)

    def failed(self, part: str, error: CodedError) -> None:
        wrong(error)
        self.errors.append({"part": part, "code": error.code, "detail": str(error)})


def pulled(draft: Draft, wanted: Wanted, done: Done) -> None:
    """The weights, before the configuration names them; it stays as it is where they can't be had."""
    if wanted.weights is None:
        return
    entry, folders = wanted.weights.entry, draft_folders(draft)
    try:
        report = already_here(entry, folders[0], load_specs(beside=folders)) or pull_entry(entry, folders[0], folders)
    except CodedError as error:
        done.failed("weights", error)
        say(f"  the weights stay as they are; later: whosthere models pull {entry.name}")
        return
    section = draft.tree.get("recognition")
    draft.tree["recognition"] = {
        **(section if isinstance(section, dict) else {}),
        **recognition_of([taken.spec for taken in report.taken]),
    }
    done.weights = entry.name


def files(draft: Draft, done: Done) -> None:
    """Both, whole. Raises ConfigError where what was answered is no configuration, and DataFolderUnwritable."""
    made = hidden(draft.tree, set_outside())
    checked(made.tree, draft.file)
    done.written = write(draft.file, made)
    say(f"\nwritten: {draft.file}")
    if done.written.secrets is not None:
        say(f"         {done.written.secrets}: the passwords, for this user alone")
    if done.written.before is not None:
        say(f"         {done.written.before}: as it was before (comments are there alone)")


def the_rest(draft: Draft, wanted: Wanted, done: Done, *, as_json: bool) -> None:
    """People, token, check, and the next commands."""
    settings = load(draft.file)
    if wanted.people is not None:
        try:
            done.people = _enrolled(settings, wanted.people, as_json=as_json)
        except CodedError as error:
            done.failed("people", error)
    if wanted.token:
        try:
            done.token = _token(settings)
        except CodedError as error:
            done.failed("token", error)
    done.checks = _checks(settings)
    done.next = _next(draft, settings, wanted)


def _enrolled(settings: Settings, people: People, *, as_json: bool) -> dict[str, Any]:
    tally, outcomes = telling.Tally(), list[dict[str, Any]]()

    def told(outcome: Outcome) -> None:
        tally.count(outcome)
        if as_json:
            outcomes.append(telling.outcome_document(outcome))
        else:
            telling.show_outcome(outcome, tally)

    say("\nenrolling")
    with people.opened() as listing:
        telling.show_store(listing)
        uvloop.run(enrol_listing(settings, listing, None, told, force=False))
    if not as_json:
        telling.show_tally(tally, listing)
    return telling.people_document(outcomes, tally, listing)


def _token(settings: Settings) -> dict[str, str]:
    make_data_folder(settings.paths.data)
    token, secret = make_token(settings.tokens_path, TOKEN, "admin")
    return {"name": token.name, "role": token.role, "token": secret}


def has_tokens(draft: Draft) -> bool:
    """Whether somebody can ask already."""
    try:
        return bool(read_tokens(checked(hidden(draft.tree).tree, draft.file).tokens_path))
    except CodedError:
        return False


def _checks(settings: Settings) -> list[dict[str, Any]]:
    from streamer.checks import check_everything  # models, HTTP and MQTT, for which nobody waits before the questions

    with waiting("\nwhosthere check"):
        findings = uvloop.run(check_everything(settings))
    return [{"part": one.part, "ok": one.ok, "code": one.code, "detail": one.detail} for one in findings]


def show(done: Done) -> None:
    """The answer of the command."""
    for row in done.checks:
        code = f" [{row['code']}]" if row["code"] else ""
        print_finding("ok    " if row["ok"] else "FAILED", f"{row['part']}: {row['detail']}{code}")
    if done.token is not None:
        print_line(f"\ntoken for the API and for watching cameras in a browser, shown this once: {done.token['token']}")
    print_line("\nNext:")
    for line in done.next:
        print_line(f"  {line}")


def _next(draft: Draft, settings: Settings, wanted: Wanted) -> list[str]:
    usual = draft.file == Path("whosthere.yaml").absolute()
    config = "" if usual else f" --config {shlex.quote(str(draft.file))}"
    serve = (f"whosthere serve{config}", "Ctrl-C stops it")
    if service_runs(settings.paths.data):
        lock = shlex.quote(str(settings.paths.data / "lock"))
        serve = (f"fuser -k -HUP {lock}", "a service runs: so it takes new cameras; restart it for the rest")
    lines = [
        *(
            []
            if wanted.people
            else [(f'whosthere enrol "Ada Lovelace" ada1.jpg ada2.jpg{config}', "a few photos each")]
        ),
        serve,
        (f"whosthere events{config}", "in another terminal: who is there"),
        (f"whosthere doctor{config}", "when something is wrong"),
    ]
    width = max(len(line) for line, _ in lines)
    return [f"{line:{width}}  # {why}" for line, why in lines]


def document(draft: Draft, done: Done) -> dict[str, Any]:
    """As --json prints it."""
    written = done.written
    seen = {name: row for name, row in draft.seen.items() if name != "broker"}
    assistant = draft.mqtt.get("home_assistant")
    return {
        "config": str(draft.file),
        "secrets": str(written.secrets) if written and written.secrets else None,
        "before": str(written.before) if written and written.before else None,
        "cameras": [{"name": name, **seen.get(name, {"url": draft.shown(name), "ok": None})} for name in draft.cameras],
        "broker": draft.seen.get("broker"),
        "home_assistant": isinstance(assistant, dict) and bool(assistant.get("enabled")),
        "weights": done.weights,
        "people": done.people,
        "token": done.token,
        "errors": done.errors,
        "checks": done.checks,
        "next": done.next,
    }


def stopped(done: Done) -> None:
    """Somebody has pressed Ctrl-C."""
    if done.written is None:
        note("\nstopped: nothing was written")
    else:
        note(f"\nstopped: {done.written.config} is written; run setup again for what is left")
