"""The configuration and its variables onto the disk: both whole or as before, what was there kept beside.

Blocks for the disk. Ctrl-C waits for the two renamings.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from recognition.whole_file import replacing
from streamer.errors import DataFolderUnwritable
from streamer.setup.document import Hidden, yaml_text
from streamer.variables import env_path, env_text, read_env


@dataclass(frozen=True, slots=True)
class Written:
    """Where it lies; `secrets` None: there are none; `before`: a copy of what the configuration was, None: there was
    none, or it is as it was.
    """

    config: Path
    secrets: Path | None
    before: Path | None


def ensure_writable(config: Path) -> None:
    """Before anybody has answered five questions. Raises DataFolderUnwritable."""
    there = next(folder for folder in config.parents if folder.exists())
    if not there.is_dir():
        raise _unwritable(config, f"{there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _unwritable(config, f"{there} is not this user's to write")


def _unwritable(config: Path, why: str) -> DataFolderUnwritable:
    return DataFolderUnwritable(
        f"{config} can't be written ({why}); give this user the folder, or name another file by --config"
    )


def write(config: Path, hidden: Hidden) -> Written:
    """Raises DataFolderUnwritable, ConfigUnreadable."""
    secrets = env_path(config)
    values = {**read_env(secrets), **hidden.secrets}
    text = yaml_text(hidden.tree, secrets.name)
    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        if config.is_file() and config.read_text(encoding="utf-8") == text and not hidden.secrets:
            return Written(config, secrets if values else None, None)
        before = _kept(config)
        _put(config, text, secrets, values)
    except OSError as error:
        raise _unwritable(config, str(error.strerror)) from None
    return Written(config, secrets if values else None, before)


def _put(config: Path, text: str, secrets: Path, values: Mapping[str, str]) -> None:
    with _uninterrupted(), ExitStack() as both:
        # The innermost gets its name first: the variables are there before what refers to them.
        both.enter_context(replacing(config, mode=0o644)).write(text.encode())
        if values:
            both.enter_context(replacing(secrets, mode=0o600)).write(env_text(values).encode())


def _kept(config: Path) -> Path | None:
    """A copy of what is there: comments are not in what is written."""
    try:
        data = config.read_bytes()
    except FileNotFoundError:
        return None
    before = config.with_name(f"{config.name}.before-{time.strftime('%Y%m%d-%H%M%S')}")
    with replacing(before) as copy:
        copy.write(data)
    return before


@contextmanager
def _uninterrupted() -> Iterator[None]:
    caught = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    masked = None
    with suppress(ValueError):
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, caught)
    try:
        yield
    finally:
        if masked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
