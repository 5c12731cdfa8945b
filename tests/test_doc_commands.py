"""Every `whosthere ...` line of the docs is one that the command line takes: command, options and their values."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from streamer.commands import app
from tests.conftest import PROJECT
from tests.test_doc_links import PAGES

ROOT: Any = typer.main.get_group(app)
BLOCK = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SHELL = ("", "sh", "console", "bash", "shell", "text")
INLINE = re.compile(r"`((?:python -m streamer|whosthere) [^`]+)`")
# What the command line says where a word of a line stands for something that only a reader can fill in.
FILLED_IN_BY_A_READER = re.compile(r"^[A-Z][A-Z_.-]*$|^<.*>$|\.\.\.|…|\$|^\[|\]$|^'?\{|\|")


def command_lines(text: str) -> Iterator[str]:
    """Those of blocks of shell, whole: lines that end in a backslash go on, comments and what is piped on are cut."""
    for language, block in BLOCK.findall(text):
        if language not in SHELL:
            continue
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if found := re.match(r"\s*\$? ?(?:\S*/)?(?:whosthere|python -m streamer) +(.*)$", line):
                yield found[1]


def words_of(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if set(word) <= set("|;&<>"):
            break
        words.append(word)
    return words


def complaint(line: str, *, whole: bool) -> str | None:
    """What is wrong with a command line, as it would be said; `whole`: nothing may be missing either."""
    try:
        words = words_of(line)
    except ValueError as error:
        return str(error)
    path, command, rest = ["whosthere"], ROOT, list(words)
    while rest and hasattr(command, "commands"):
        if rest[0].startswith("-"):
            break
        name = rest.pop(0)
        if name not in command.commands:
            return None if FILLED_IN_BY_A_READER.search(name) else f"{' '.join(path)} has no command {name}"
        path.append(name)
        command = command.commands[name]
    options = {opt: param for param in command.params for opt in (*param.opts, *param.secondary_opts)}
    while rest:
        word = rest.pop(0)
        name = word.partition("=")[0]
        if not name.startswith("-") or name == "-":
            continue
        if name not in options and name not in ("--help", "-h"):
            return f"{' '.join(path)} takes no {name}"
    return _missing(path, command, words) if whole and not hasattr(command, "commands") else None


def _missing(path: list[str], command: Any, words: list[str]) -> str | None:
    if any(FILLED_IN_BY_A_READER.search(word) for word in words):
        return None
    after = words[len(path) - 1 :] if words[: len(path) - 1] == path[1:] else None
    if after is None or any(word in ("-h", "--help", "--version") for word in words):
        return None
    try:
        with command.make_context(path[-1], after):
            return None
    except typer.Exit:
        return None
    except Exception as error:  # noqa: BLE001 click's own, which typer keeps to itself
        said = error.format_message() if hasattr(error, "format_message") else error
        return f"{' '.join(path)}: {said}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_command_of_the_docs_is_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    said = {line: complaint(line, whole=True) for line in command_lines(text)}
    prose = re.sub(r"\s+", " ", BLOCK.sub("", text))
    said |= {
        line: complaint(line.split(" ", 1)[1].removeprefix("-m streamer "), whole=False)
        for line in INLINE.findall(prose)
    }
    assert {line: wrong for line, wrong in said.items() if wrong} == {}


def test_what_is_no_command_is_seen() -> None:
    assert complaint("people frobnicate", whole=False) == "whosthere people has no command frobnicate"
    assert complaint("people list --loud", whole=False) == "whosthere people list takes no --loud"
    assert "Missing argument" in (complaint("people show", whole=True) or "")
    assert "--role" in (complaint("tokens make me --role king", whole=True) or "")
    assert complaint("people show 'Ada Lovelace' --json | jq .", whole=True) is None
    assert complaint("--config whosthere.yaml people list # everybody", whole=True) is None


def test_enough_of_them_are_found() -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    assert sum(len(list(command_lines(text))) for text in texts) > 25
    assert sum(len(INLINE.findall(text)) for text in texts) > 30
