"""`setup`: questions, or options in their place -> a configuration that was tried, people, and what to type next."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from recognition.errors import LicenceNotAccepted
from streamer.cli.models.imports import AcceptLicence, OwnCatalogue
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_json
from streamer.cli.setup import broker as broker_part
from streamer.cli.setup import cameras as cameras_part
from streamer.cli.setup import faces as faces_part
from streamer.cli.setup import finish
from streamer.cli.setup import weights as weights_part
from streamer.cli.setup.asking import confirm, heading, say
from streamer.cli.setup.draft import Draft
from streamer.errors import ConfigInvalid, ConfirmationNeeded, SetupIncomplete
from streamer.settings_layers import merge, read_yaml, resolve_paths, upper_layer
from streamer.setup.document import begun
from streamer.setup.trying import checked
from streamer.setup.writing import ensure_writable
from streamer.telemetry.logs import setup_logging
from streamer.variables import env_path, read_env, set_beside

_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    app.command(
        epilog="Examples: whosthere setup;   whosthere setup --yes --camera door='rtsp://${CAM_USER}:${CAM_PASSWORD}@"
        "192.0.2.9/h264' --broker 127.0.0.1 --faces people/"
    )(setup)


def setup(
    camera: Annotated[
        list[str] | None, typer.Option("--camera", help="A camera; ${VAR} is expanded. Repeatable.", metavar="NAME=URL")
    ] = None,
    discover: Annotated[
        bool | None, typer.Option("--discover/--no-discover", help="Look for cameras on the network.")
    ] = None,
    broker: Annotated[str | None, typer.Option(help="The MQTT broker.", metavar="HOST[:PORT]")] = None,
    broker_user: Annotated[str | None, typer.Option(help="${VAR} is expanded.", metavar="USER")] = None,
    broker_password: Annotated[
        str | None, typer.Option(help="A variable that holds it: '${MQTT_PASSWORD}'.", metavar="'${VAR}'")
    ] = None,
    broker_tls: Annotated[bool | None, typer.Option("--broker-tls/--no-broker-tls", help="To the broker.")] = None,
    broker_ca: Annotated[
        Path | None, typer.Option(help="Who signed the broker's certificate (PEM).", metavar="FILE")
    ] = None,
    home_assistant: Annotated[
        bool | None, typer.Option("--home-assistant/--no-home-assistant", help="Its MQTT discovery.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Larger ones, as `models pull` lists them; nano: none.", metavar="NAME")
    ] = None,
    accept_licence: AcceptLicence = False,
    faces: Annotated[
        str | None, typer.Option(help="Whom to enrol, as `enrol --from` takes it; none: nobody.", metavar="SOURCE")
    ] = None,
    token: Annotated[bool | None, typer.Option("--token/--no-token", help="Make an admin token for HTTP.")] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Take cameras and a broker that do not answer (yet).")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: options, and what is there or usual.")] = False,
    catalogue: OwnCatalogue = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
) -> None:
    """Find cameras, try the broker, offer weights, enrol people and write the configuration. Run again, it edits that.

    Nothing is written before the last question, and Ctrl-C leaves all as it was. Passwords go into a file of their own.
    """
    setup_logging("error", "auto")
    draft = _draft(config, overrides or [], asks=not yes, unchecked=unchecked)
    done = finish.Done()
    mqtt = _mqtt_options(draft, broker, broker_user, broker_password, broker_tls, broker_ca, home_assistant)
    try:
        _cameras(draft, camera or [], discover)
        _broker(draft, mqtt, asked=home_assistant is None)
        wanted = finish.Wanted(
            _weights(draft, weights, catalogue, accepted=accept_licence), _people(draft, faces), _token(draft, token)
        )
        if draft.asks:
            heading(5, "Write it, enrol, check")
            typer.confirm(f"Write {draft.file}?", default=True, abort=True, err=True)
        finish.pulled(draft, wanted, done)
        finish.files(draft, done)
        finish.the_rest(draft, wanted, done, as_json=json)
    except (KeyboardInterrupt, typer.Abort):
        finish.stopped(done)
        raise typer.Exit(_INTERRUPTED) from None
    if json:
        print_json(finish.document(draft, done))
    else:
        finish.show(done)
    _judge(done)


def _draft(config: Path | None, overrides: list[str], *, asks: bool, unchecked: bool) -> Draft:
    file = (config or Path("whosthere.yaml")).absolute()
    if asks and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfirmationNeeded(
            "setup asks, and there is no terminal to ask at; --yes takes options, and what is there or usual"
        )
    ensure_writable(file)
    is_new = not file.exists()
    tree = begun() if is_new else read_yaml(file)
    checked(tree, file)  # what is wrong already is not edited
    set_beside(read_env(env_path(file)))
    above, _ = upper_layer({}, overrides)
    resolve_paths(above, Path.cwd())
    if asks:
        state = "which is not there yet" if is_new else "which is there: what it says are the defaults"
        say(f"This sets up {file}, {state}.")
        say("Nothing is written before the last question; Ctrl-C leaves all as it is.")
    return Draft(file, merge(tree, above), is_new, asks, unchecked)


def _cameras(draft: Draft, given: list[str], discover: bool | None) -> None:
    cameras_part.take_given(draft, given)
    if draft.asks and not given:
        cameras_part.dialogue(draft, discover)
    elif discover:
        cameras_part.discover(draft)
    if not draft.asks and not draft.cameras:
        raise SetupIncomplete(
            f"no camera is given, and {draft.file} has none: give --camera NAME=URL (whosthere cameras discover finds "
            "those of the network)"
        )


def _mqtt_options(
    draft: Draft,
    broker: str | None,
    user: str | None,
    password: str | None,
    tls: bool | None,
    ca: Path | None,
    home_assistant: bool | None,
) -> dict[str, Any] | None:
    """What options say of the broker; None: nothing. Home Assistant's is put into the draft at once."""
    changes: dict[str, Any] = {}
    if broker is not None:
        host, colon, port = broker.rpartition(":") if not broker.endswith("]") else (broker, "", "")
        if colon and not port.isdecimal():
            raise ConfigInvalid(f"--broker {broker}: want HOST or HOST:PORT")
        changes["host"] = (host if colon else broker).strip("[]")
        if colon:
            changes["port"] = int(port)
    if user is not None:
        changes["username"] = user
    if password is not None:
        if not (password.startswith("${") and password.endswith("}")):
            raise ConfigInvalid(
                "--broker-password: name a variable that holds it, in single quotes: '${MQTT_PASSWORD}'"
            )
        changes["password"] = password
    if tls or ca:
        changes["tls"] = broker_part.tls_of(str(ca or ""))
        if broker is not None and "port" not in changes:
            changes["port"] = 8883
    if tls is False:
        draft.mqtt.pop("tls", None)
    if home_assistant is not None:
        broker_part.set_home_assistant(draft, enabled=home_assistant)
    return changes if broker is not None or changes else None


def _broker(draft: Draft, given: dict[str, Any] | None, *, asked: bool) -> None:
    if given is not None or not draft.asks:
        broker_part.take_given(draft, given or {})
    else:
        broker_part.dialogue(draft)
    if draft.asks and asked:
        broker_part.home_assistant(draft)


def _weights(draft: Draft, name: str | None, catalogue: Path | None, *, accepted: bool) -> weights_part.Chosen | None:
    if name is None:
        return weights_part.dialogue(draft, catalogue) if draft.asks else None
    chosen = weights_part.chosen_by_name(name, catalogue)
    if chosen is not None and not accepted:
        entry = chosen.entry
        say(f"{entry.name}: {entry.what}\n  licence  {entry.licence}\n           {entry.licence_url}")
        if not draft.asks:
            raise LicenceNotAccepted(f"{name}: read the licence above; if you accept it, say so with --accept-licence")
        if not confirm("  Do you accept this licence, and will you keep to it?", default=False):
            return None
    return chosen


def _people(draft: Draft, source: str | None) -> faces_part.People | None:
    if source is None:
        return faces_part.dialogue() if draft.asks else None
    return None if source == "none" else faces_part.given(source)


def _token(draft: Draft, wanted: bool | None) -> bool:
    if wanted is not None:
        return wanted
    if not draft.asks or finish.has_tokens(draft):
        return False
    return confirm("\nMake a token, for the API and for watching cameras in a browser?", default=True)


def _judge(done: finish.Done) -> None:
    """Exit code 1 where something that was wanted was not done, or a check failed."""
    failed = [row for row in done.checks if not row["ok"]]
    codes = [error["code"] for error in done.errors] + [row["code"] for row in failed]
    if codes:
        told = f"{len(failed)} of {len(done.checks)} checks failed" if failed else "not all was done"
        sys.stderr.write(f"whosthere: the configuration is written; {told}, see above [{codes[0]}]\n")
        raise typer.Exit(1)
