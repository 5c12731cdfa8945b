"""The lines that mend: each is a shell's, each `whosthere` command of them is one, each code is told of."""

import shlex
import subprocess
from pathlib import Path

import pytest

import gallery.errors  # noqa: F401 (with the next three: families whose codes are told apart here)
import streamer.access.errors
import streamer.errors
import streamer.mqtt.tls.errors  # noqa: F401
from recognition.errors import CodedError
from streamer.doctor.cures import CURES, Cures
from streamer.settings import HttpSettings, PathsSettings, Settings, TlsSettings
from tests.conftest import PROJECT
from tests.streamer.test_commands import COMMANDS
from tests.test_error_codes import family

WORDS = {"path": "/a b", "requirement": "av>=1,<2", "kept": "one", "conflict": "two"}


def cures_in(folder: Path) -> Cures:
    settings = Settings(
        paths=PathsSettings(data=folder / "the data"),
        http=HttpSettings(tls=TlsSettings(cert=Path("/c.pem"), key=Path("/k.pem"))),
    )
    return Cures(settings, folder / "who's there.yaml", ("--config", str(folder / "who's there.yaml")))


@pytest.mark.parametrize("code", CURES)
def test_every_line_is_one_for_a_shell(tmp_path: Path, code: str):
    lines = cures_in(tmp_path).of(code, "camera door", **WORDS)
    assert lines
    for line in lines:
        assert subprocess.run(["bash", "-n", "-c", line], capture_output=True).returncode == 0, line
        assert "{" not in line.replace("${EDITOR:-nano}", ""), line


def test_every_command_of_ours_is_one(tmp_path: Path):
    named = set()
    for code in CURES:
        for line in cures_in(tmp_path).of(code, "camera door", **WORDS):
            words = shlex.split(line)
            if any(word.endswith("whosthere") for word in words[:4]) and "--config" in words:
                at = next(number for number, word in enumerate(words) if word.endswith("whosthere"))
                named.add(tuple(words[at + 1 : at + 3]))
                assert words[-2:] == ["--config", str(tmp_path / "who's there.yaml")], line
    assert len(named) > 10
    for words in named:
        assert words[0] in COMMANDS or " ".join(words) in COMMANDS, words


def test_what_check_finds_of_what_people_get_wrong_has_a_cure_of_its_own():
    codes = {error.code for error in family(CodedError)}
    for beginning in ("config_", "gallery_", "master_key_", "broker_", "certificate_", "outbox_", "mqtt_"):
        ours = {code for code in codes if code.startswith(beginning)} - {
            "config_error",
            "broker_error",
            "broker_tls_error",
            "outbox_error",
        }
        ours -= {"broker_lost", "gallery_error", "gallery_locked", "master_key_error"}  # families; a moment's
        assert ours <= set(CURES), ours - set(CURES)


def test_what_nobody_foresaw_leads_to_check(tmp_path: Path):
    assert cures_in(tmp_path).of("never_heard_of")[0].split(" --")[0].endswith("whosthere check")
    assert "cameras probe door" in cures_in(tmp_path).of("never_heard_of", "camera door")[0]


def test_every_code_of_its_own_is_in_the_pages():
    """Those of errors are elsewhere: docs/troubleshooting.md and the tables that it names."""
    own = set(CURES) - {error.code for error in family(CodedError)}
    page = (PROJECT / "docs" / "operations.md").read_text()
    assert own
    assert not {code for code in own if f"`{code}`" not in page}
