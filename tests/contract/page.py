"""docs/api.md: what of it is made from a running service, and what in it is run. Blocks."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.conftest import PROJECT
from tests.contract.home import Home
from tests.contract.operations import Operation, operations

PAGE = PROJECT / "docs" / "api.md"
DOCUMENT = PROJECT / "docs" / "openapi.json"
REFUSED = {"token_missing", "token_invalid", "too_many_attempts", "role_too_low"}
COLUMNS = {"none": "without", "revoked": "revoked", "viewer": "`viewer`", "operator": "`operator`", "admin": "`admin`"}
_TABLE = re.compile(r"(?<=<!-- made by `make openapi` -->\n).*?(?=<!-- end -->)", re.DOTALL)

# What a shell of the page finds: its curl fails where the answer is a refusal, and a stream may be left.
_PRELUDE = """set -euo pipefail
curl() { local code=0; command curl -sS --fail-with-body "$@" || code=$?
         case "$code $*" in "28 "*-N*) return 0;; esac; return $code; }
"""


def blocks(language: str) -> list[str]:
    """The page's blocks of code of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def asked() -> list[tuple[str, str]]:
    """Method and path of each curl line of the page; a variable in a path is any part."""
    return [found for block in blocks("sh") for line in _lines(block) for found in _curls(line)]


def _lines(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


def _curls(line: str) -> list[tuple[str, str]]:
    found = []
    for command in re.findall(r"\bcurl\s[^|)]*", line):
        words = shlex.split(command, comments=True)
        urls = [word for word in words if word.startswith("$WHOSTHERE")]
        method = _method(words)
        found += [(method, urlsplit(url.removeprefix("$WHOSTHERE")).path) for url in urls]
    return found


def _method(words: list[str]) -> str:
    if "-X" in words:
        return words[words.index("-X") + 1]
    sends = {"-F", "-d", "--json", "--data", "--data-binary", "--form"}
    return "POST" if sends & set(words) else "HEAD" if "-I" in words else "GET"


def run_shell(found: Home) -> subprocess.CompletedProcess[str]:
    """All of the page's lines, one after the other, in a shell."""
    script = _PRELUDE + "\n".join(blocks("sh"))
    return _run(["bash", "-c", script], found)


def run_python(block: str, found: Home) -> subprocess.CompletedProcess[str]:
    return _run([sys.executable, "-c", block], found)


def _run(command: list[str], found: Home) -> subprocess.CompletedProcess[str]:
    environment = found.environment()
    return subprocess.run(command, cwd=found.folder, env=environment, capture_output=True, text=True, timeout=170)


def may(found: Home) -> dict[Operation, dict[str, bool]]:
    """Who may what: each operation, asked without a body for something that is not there, with each token."""
    told: dict[Operation, dict[str, bool]] = {}
    for token in COLUMNS:
        with found.client(token) if token in found.tokens else httpx.Client(base_url=found.url, timeout=60) as client:
            for operation in operations(found.document):
                told.setdefault(operation, {})[token] = _is_let_in(client, operation)
    return told


def _is_let_in(client: httpx.Client, operation: Operation) -> bool:
    path = re.sub(r"{\w+}", "nothing", operation.path)
    with client.stream(operation.method, path) as answer:
        if answer.status_code not in (401, 403, 429):
            return True
        answer.read()
        return answer.json()["code"] not in REFUSED


def role_table(told: dict[Operation, dict[str, bool]]) -> str:
    """As the page shows it."""
    lines = [f"| | {' | '.join(COLUMNS.values())} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for operation, by_token in told.items():
        cells = ["yes" if by_token[token] else "no" for token in COLUMNS]
        lines.append(f"| `{operation}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def shown_table() -> str:
    (table,) = _TABLE.findall(PAGE.read_text())
    return str(table)


def write_table(table: str, page: Path = PAGE) -> None:
    page.write_text(_TABLE.sub(lambda _: table, page.read_text()))
