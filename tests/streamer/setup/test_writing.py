import os
import stat
from pathlib import Path

import pytest

from streamer.errors import DataFolderUnwritable
from streamer.setup import writing
from streamer.setup.document import Hidden
from streamer.setup.writing import write
from streamer.variables import read_env


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_both_files_are_there_and_the_secrets_are_for_this_user_alone(tmp_path: Path) -> None:
    config = tmp_path / "new" / "whosthere.yaml"
    written = write(config, Hidden({"cameras": {}}, {"A": "1"}))
    assert (written.config, written.before) == (config, None)
    assert written.secrets is not None
    assert (mode(config), mode(written.secrets)) == (0o644, 0o600)
    assert read_env(written.secrets) == {"A": "1"}
    assert sorted(os.listdir(config.parent)) == ["whosthere.env", "whosthere.yaml"]


def test_what_was_there_is_kept_beside_and_other_secrets_stay(tmp_path: Path) -> None:
    config = tmp_path / "whosthere.yaml"
    config.write_text("# mine\ncameras: {}\n")
    (tmp_path / "whosthere.env").write_text("OLD=1\nA=2\n")
    written = write(config, Hidden({"mqtt": {}}, {"A": "3"}))
    assert written.before is not None
    assert (written.before.read_text(), mode(written.before)) == ("# mine\ncameras: {}\n", 0o600)
    assert read_env(tmp_path / "whosthere.env") == {"OLD": "1", "A": "3"}
    again = write(config, Hidden({"mqtt": {}}, {}))
    assert again.before is None


def test_without_secrets_there_is_no_file_of_them(tmp_path: Path) -> None:
    assert write(tmp_path / "w.yaml", Hidden({}, {})).secrets is None
    assert os.listdir(tmp_path) == ["w.yaml"]


def test_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "whosthere.yaml"
    config.write_text("cameras: {}\n")

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "env_text", full)
    with pytest.raises(DataFolderUnwritable, match="No space left"):
        write(config, Hidden({"mqtt": {}}, {"A": "1"}))
    assert config.read_text() == "cameras: {}\n"
    assert not (tmp_path / "whosthere.env").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(DataFolderUnwritable, match="can't be written"):
        write(tmp_path / "f" / "whosthere.yaml", Hidden({}, {}))
