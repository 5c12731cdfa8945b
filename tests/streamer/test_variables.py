import os
import shlex
import subprocess
from pathlib import Path

import pytest

from streamer.errors import ConfigUnreadable
from streamer.settings_reading import load, read_layers
from streamer.variables import env_path, env_text, expand_url, read_env

ODD = {"A": "plain", "B_1": "q\"uo'te", "C": "$HOME `id` \\n", "D": " blanks # no comment ", "E": "", "F": "pässwörd=x"}


def test_what_is_written_is_read_again_by_us_and_by_a_shell(tmp_path: Path) -> None:
    file = tmp_path / "whosthere.env"
    file.write_text(env_text(ODD))
    assert read_env(file) == ODD
    shown = "; ".join(f'printf "%s\\0" "${name}"' for name in ODD)
    told = subprocess.run(
        ["sh", "-c", f"set -a; . {shlex.quote(str(file))}; {shown}"], capture_output=True, check=True, text=True
    )
    assert told.stdout.split("\0")[:-1] == list(ODD.values())


def test_as_people_write_it(tmp_path: Path) -> None:
    file = tmp_path / "x.env"
    file.write_text("# ours\n\nexport A=1\n B='it is' \n; systemd's\nC=a b\n")
    assert read_env(file) == {"A": "1", "B": "it is", "C": "a b"}
    assert read_env(tmp_path / "none.env") == {}


@pytest.mark.parametrize("line", ["no equals", "1A=x", 'A="s3cret', "A='s3cret", "A-B=s3cret"])
def test_what_is_no_line_is_refused_without_its_value(tmp_path: Path, line: str) -> None:
    file = tmp_path / "x.env"
    file.write_text(f"OK=1\n{line}\n")
    with pytest.raises(ConfigUnreadable, match="line 2") as caught:
        read_env(file)
    assert "s3cret" not in str(caught.value)


def test_it_lies_below_the_environment_and_goes_with_its_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "home.yaml"
    config.write_text('mqtt: {username: u, password: "${MQTT_PASSWORD}"}\ncameras: {}\n')
    env_path(config).write_text('MQTT_PASSWORD="of the file"\nCAM_PASSWORD="p@ss"\n')
    monkeypatch.delenv("MQTT_PASSWORD", raising=False)
    password = load(config).mqtt.password
    assert password is not None
    assert password.get_secret_value() == "of the file"
    assert expand_url("rtsp://u:${CAM_PASSWORD}@h/") == "rtsp://u:p%40ss@h/"
    assert "CAM_PASSWORD" not in os.environ
    monkeypatch.setenv("MQTT_PASSWORD", "of the environment")
    password = load(config).mqtt.password
    assert password is not None
    assert password.get_secret_value() == "of the environment"
    read_layers(None, ["paths.data=x"])
    with pytest.raises(Exception, match="CAM_PASSWORD is not set"):
        expand_url("${CAM_PASSWORD}")
