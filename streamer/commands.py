"""The command line: parse, load settings, call one function, print. One module a group of commands.

Exit codes: 0 success, 1 refused or failed (one line on stderr with its stable code), 2 bad usage.
"""

import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any, cast

import typer

from recognition.errors import CodedError
from streamer import __version__
from streamer.cli.anywhere import AnywhereGroup
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_line

# Each command, in the order of --help, and the module of streamer.cli that registers it.
MODULES = {
    "setup": "setup.command",
    "serve": "service",
    "check": "service",
    "doctor": "doctor",
    "demo": "demo",
    "enrol": "enrolment.command",
    "identify": "identify",
    "events": "events",
    "bench": "bench.command",
    "people": "people.commands",
    "gallery": "gallery.commands",
    "calibrate": "calibration.commands",
    "cameras": "cameras",
    "models": "models.commands",
    "train": "train",
    "train-weights": "train_weights",
    "tokens": "tokens",
}


class Commands(Mapping[str, Any]):
    """Typer's, by name. A module is imported once its command is asked for: together they take most of a second."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 typer keeps its classes of commands to itself
        return _registered(MODULES[name])[name]

    def __contains__(self, name: object) -> bool:
        return name in MODULES

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


@cache
def _registered(module: str) -> Mapping[str, Any]:
    app = typer.Typer(rich_markup_mode=None)
    import_module(f"streamer.cli.{module}").register(app)
    return typer.main.get_group(app).commands


class Root(AnywhereGroup):
    """The root of the command line."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 they are typer's
        super().__init__(**options)
        self.commands = cast("Any", Commands())


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
