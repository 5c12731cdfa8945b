"""The command line: parse, load settings, call one function, print. One module a group of commands.

Exit codes: 0 success, 1 refused or failed (one line on stderr with its stable code), 2 bad usage.
"""

import sys
from typing import Annotated

import typer

from recognition.errors import CodedError
from streamer import __version__
from streamer.cli import bench, cameras, demo, enrol, events, identify, service, tokens, train, train_weights
from streamer.cli.anywhere import AnywhereGroup
from streamer.cli.gallery import commands as gallery
from streamer.cli.models import commands as models
from streamer.cli.options import AsJson, ConfigFile, Overrides, print_line
from streamer.cli.people import commands as people

app = typer.Typer(
    name="whosthere",
    cls=AnywhereGroup,
    help="Watches cameras and says who is there, on hardware of your own.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
service.register(app)
demo.register(app)
enrol.register(app)
identify.register(app)
people.register(app)
gallery.register(app)
cameras.register(app)
models.register(app)
train.register(app)
train_weights.register(app)
tokens.register(app)
events.register(app)
bench.register(app)


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
