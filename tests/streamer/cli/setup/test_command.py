"""`whosthere setup` by its options, where nobody is asked; the dialogue is tests/live/test_setup.py's."""

from pathlib import Path

import pytest
import yaml

from recognition.errors import CodedError
from recognition.zoo.catalogue import load_catalogue
from streamer.commands import app
from streamer.variables import read_env
from tests.command import whosthere
from tests.recognition.zoo.test_imports import PACK, packed
from tests.streamer.ingest.clips import write_clip
from tests.weights_server import weights_server

NOBODY = "127.0.0.1:1"
# Whatever else listens on this machine: `check` wants HTTP's port free.
ANY_PORT = {"WHOSTHERE_HTTP__PORT": "0"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "hall.mp4", 5)
    return tmp_path


def refused(*typed: str) -> CodedError:
    """Why a command was refused, in this process: each one of its own takes two seconds of CPU."""
    with pytest.raises(CodedError) as caught:
        app(["setup", *typed], standalone_mode=False)
    return caught.value


def left_in(home: Path) -> set[str]:
    return {file.name for file in home.iterdir()} - {"hall.mp4", "whosthere.yaml"}


def test_without_a_terminal_it_wants_yes(home: Path) -> None:
    why = refused()
    assert (why.code, "--yes" in str(why)) == ("confirmation_needed", True)
    assert not left_in(home)


def test_what_is_missing_is_said(home: Path) -> None:
    why = refused("--yes")
    assert (why.code, "--camera NAME=URL" in str(why)) == ("setup_incomplete", True)
    assert not left_in(home)


def test_what_cannot_be_written_is_said_before_anything_is_asked_or_tried(home: Path) -> None:
    why = refused("--yes", "--config", "hall.mp4/whosthere.yaml", "--camera", "hall=nothere.mp4")
    assert (why.code, "hall.mp4 is no folder" in str(why)) == ("data_folder_unwritable", True)
    assert not left_in(home)


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        (("--camera", "hall=nowhere.mp4"), "camera_not_found"),
        (("--camera", "hall=hall.mp4", "--broker", NOBODY), "broker_unreachable"),
        (("--camera", "Hall!=hall.mp4"), "config_invalid"),
        (("--camera", "hall=publish://"), "config_invalid"),
        (("--camera", "hall=rtsp://u:${UNSET_HERE}@127.0.0.1/x"), "camera_variable_unset"),
        (("--camera", "hall=hall.mp4", "--broker", "127.0.0.1:x"), "config_invalid"),
        (("--camera", "hall=hall.mp4", "--broker-password", "s3cret"), "config_invalid"),
        (("--camera", "hall=hall.mp4", "--unchecked", "--broker", NOBODY, "--weights", "buffalo_x"), "model_not_found"),
        (("--camera", "hall=hall.mp4", "--unchecked", "--broker", NOBODY, "--weights", "buffalo_sc"), None),
        (
            ("--camera", "hall=hall.mp4", "--unchecked", "--broker", NOBODY, "--faces", "nowhere"),
            "enrolment_list_missing",
        ),
        (
            ("--camera", "hall=hall.mp4", "--unchecked", "--set", "mqtt.prot=1", "--broker", NOBODY),
            "config_unknown_key",
        ),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_written(
    home: Path, typed: tuple[str, ...], code: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    why = refused("--yes", *typed)
    assert why.code == (code or "licence_not_accepted")
    assert "s3cret" not in str(why) + "".join(capfd.readouterr())
    assert not left_in(home)
    assert not (home / "whosthere.yaml").exists()


def test_a_configuration_that_is_wrong_is_not_edited(home: Path) -> None:
    (home / "whosthere.yaml").write_text("camras: {}\n")
    assert refused("--yes", "--camera", "hall=hall.mp4").code == "config_unknown_key"
    assert (home / "whosthere.yaml").read_text() == "camras: {}\n"


def test_what_does_not_answer_yet_is_taken_where_that_is_wanted(home: Path) -> None:
    cameras = ("--camera", "hall=hall.mp4", "--camera", "door=rtsp://ada:s3cret@127.0.0.1:1/x")
    ended = whosthere(
        "setup", "--yes", "--unchecked", *cameras, "--broker", NOBODY, "--token", "--json", cwd=home, environ=ANY_PORT
    )
    assert ended.code == 1  # checks fail, and say so
    told = ended.document
    assert [(one["name"], one["ok"]) for one in told["cameras"]] == [("hall", True), ("door", False)]
    assert (told["broker"]["code"], told["token"]["role"]) == ("broker_unreachable", "admin")
    assert {row["part"] for row in told["checks"] if not row["ok"]} == {"broker", "camera door"}
    assert "s3cret" not in ended.everything
    assert read_env(home / "whosthere.env") == {"CAM_DOOR_PASSWORD": "s3cret"}
    config = yaml.safe_load((home / "whosthere.yaml").read_text())
    assert config["cameras"]["hall"] == {"url": "hall.mp4", "fps": 10, "loop": True}
    assert config["mqtt"] == {"host": "127.0.0.1", "port": 1}


def test_weights_are_fetched_once_their_licence_is_accepted_and_the_configuration_names_them(home: Path) -> None:
    with weights_server() as server:
        pack = packed(home, PACK).read_bytes()
        entry = load_catalogue()["buffalo_l"].model_dump(mode="json", exclude={"name"})
        entry |= {"url": server.serve("buffalo_l.zip", pack), "size": len(pack)}
        (home / "catalogue.yaml").write_text(yaml.safe_dump({"entries": {"buffalo_l": entry}}))
        typed = (
            "--yes",
            "--unchecked",
            "--camera",
            "hall=hall.mp4",
            "--broker",
            NOBODY,
            "--catalogue",
            "catalogue.yaml",
        )
        ended = whosthere("setup", *typed, "--weights", "buffalo_l", "--accept-licence", "--json", cwd=home)
    assert ended.document["weights"] == "buffalo_l", ended
    recognition = yaml.safe_load((home / "whosthere.yaml").read_text())["recognition"]
    assert recognition == {"detector": "det_10g", "embedder": "w600k_r50"}
    assert (home / "model" / "artifacts" / "w600k_r50.onnx").is_file()


def test_a_network_that_is_away_leaves_the_weights_as_they_are(home: Path) -> None:
    entry = load_catalogue()["buffalo_sc"].model_dump(mode="json", exclude={"name"})
    entry |= {"url": "http://127.0.0.1:1/buffalo_sc.zip"}
    (home / "catalogue.yaml").write_text(yaml.safe_dump({"entries": {"buffalo_sc": entry}}))
    typed = ("--yes", "--unchecked", "--camera", "hall=hall.mp4", "--broker", NOBODY, "--catalogue", "catalogue.yaml")
    ended = whosthere("setup", *typed, "--weights", "buffalo_sc", "--accept-licence", "--json", cwd=home)
    assert (ended.code, ended.document["weights"]) == (1, None)
    assert [error["part"] for error in ended.document["errors"]] == ["weights"]
    assert yaml.safe_load((home / "whosthere.yaml").read_text())["recognition"]["embedder"] == "nano_embed"
