"""The command line: parse, load settings, call one function, print. One module a group of commands.

Exit codes: 0 success, 1 refused or failed (one line on stderr with its stable code), 2 bad usage.
"""

import sys
from typing import Annotated, ClassVar

import typer

from recognition.errors import CodedError
from streamer import __version__
from streamer.cli.anywhere import AnywhereGroup
from streamer.cli.listed import Listed
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_line


class Root(AnywhereGroup):
    """The root of the command line."""

    listed: ClassVar = {
        "setup": Listed(
            "setup.command", "Find cameras, try the broker, offer weights, enrol people and write the configuration."
        ),
        "serve": Listed(
            "service", "Watch the configured cameras and publish who is there, until Ctrl-C or SIGTERM; SIGHUP reloads."
        ),
        "check": Listed(
            "service", "Check the configuration, models, gallery, cameras and broker, and say what is wrong with each."
        ),
        "doctor": Listed(
            "doctor", "Look at everything, the running service too, and say what is wrong and which commands mend it."
        ),
        "demo": Listed(
            "demo", "Show it working: a broker, a sample camera, the service, and a live table of who is seen."
        ),
        "enrol": Listed("enrolment.command", "Enrol a person, or add photos to one; or many people."),
        "identify": Listed("identify", "Say who is in these photos, by the gallery."),
        "events": Listed(
            "events", "Follow the identity events on the broker: one line each (with --json: one JSON document a line)."
        ),
        "bench": Listed(
            "bench.command",
            "Measure frames a second against the usual loop and the bare limit, event latency, and the model layer.",
        ),
        "people": Listed("people.commands", "The people who are enrolled, and their photos."),
        "gallery": Listed(
            "gallery.commands", "The gallery as a whole: copies of it, its key, what has had its time, who did what."
        ),
        "calibrate": Listed(
            "calibration.commands",
            "Compute the thresholds from which people are named, for this gallery and a rate of false names.",
        ),
        "cameras": Listed("cameras.commands", "List cameras, look at one, add, change or remove one."),
        "models": Listed("models.commands", "The models that are known, and whether their weights are in order."),
        "train": Listed(
            "train",
            "Train a classifier on verified faces of people: of the gallery, or of a table `face` in a SQLite file.",
        ),
        "train-weights": Listed(
            "train_weights", "Distil small weights of your own from a teacher and photos that you may use."
        ),
        "tokens": Listed("tokens", "The tokens that HTTP asks for."),
    }


app = typer.Typer(
    name="whosthere",
    cls=Root,
    help="Watches cameras and says who is there, on hardware of your own.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print_line(f"whosthere {__version__}")
        raise typer.Exit


@app.callback(epilog="Example: whosthere --config whosthere.yaml serve")
def root(
    config: ConfigFile = None,
    overrides: Overrides = None,
    json: AsJson = False,
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Watches cameras and says who is there, on hardware of your own."""
    # The options are the commands': AnywhereGroup hands them on before this is called.


def main() -> None:
    """Run the command line; whatever the world did wrong ends in one line and exit code 1."""
    try:
        app()
    except CodedError as error:
        _fail(error)
    except BaseExceptionGroup as group:
        error_or_none = first_coded(group)
        if error_or_none is None:
            raise
        _fail(error_or_none)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def first_coded(group: BaseExceptionGroup[BaseException]) -> CodedError | None:
    """The first error of ours in a group, if the group holds nothing else (a bug must show itself)."""
    coded, rest = group.split(CodedError)
    if coded is None or rest is not None:
        return None
    leaf: BaseException = coded
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf if isinstance(leaf, CodedError) else None


def _fail(error: CodedError) -> None:
    line = " ".join(str(error).split())
    sys.stderr.write(f"whosthere: {line} [{error.code}]\n")
    sys.exit(1)
