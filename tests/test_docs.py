"""The reference tables in docs/ say what the code says, no more and no less."""

import json
import re
import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import jsonschema
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from recognition.errors import CodedError
from streamer.events.event import EndReason, IdentityEvent, sighting_of
from streamer.ingest.address import Kind, address
from streamer.mqtt.presence import Presence
from streamer.pipeline.camera import State
from streamer.pipeline.camera_trouble import WORDS
from streamer.schemas import IDENTITY
from streamer.settings import CameraSettings, Settings
from streamer.settings_reading import load
from streamer.telemetry.metrics import Metrics
from streamer.variables import expand_url
from tests.command import whosthere
from tests.conftest import PROJECT
from tests.gallery.portable import portable_person
from tests.seeded import opened, seeded
from tests.streamer.test_commands import COMMANDS
from tests.test_error_codes import family, import_everything


def table_rows(document: str) -> list[list[str]]:
    """The cells of every table row that begins with a `name`."""
    lines = (PROJECT / "docs" / document).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def leaves(section: type[BaseModel], prefix: str = "") -> dict[str, FieldInfo]:
    """Every setting by its full key; a camera's stand under `cameras.<name>`."""
    found: dict[str, FieldInfo] = {}
    for name, field in section.model_fields.items():
        if name == "cameras":
            found |= leaves(CameraSettings, "cameras.<name>.")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= leaves(field.annotation, f"{prefix}{name}.")
        else:
            found[prefix + name] = field
    return found


def as_written(value: Any) -> Any:
    """A default as a YAML file would hold it."""
    if isinstance(value, Path):
        return str(value)
    return [as_written(item) for item in value] if isinstance(value, tuple) else value


def test_every_setting_is_documented_with_its_default():
    rows = {row[0].strip("`"): row for row in table_rows("configuration.md")}
    settings = leaves(Settings)

    assert len(settings) > 40
    assert list(rows) == list(settings), "the same keys in the same order"
    for key, field in settings.items():
        _, default, meaning = rows[key]
        assert meaning, f"{key} has no meaning"
        if field.is_required():
            assert default == "required", key
        else:
            assert yaml.safe_load(default.strip("`")) == as_written(field.default), key


def test_the_example_of_the_configuration_page_loads(tmp_path):
    page = (PROJECT / "docs" / "configuration.md").read_text()
    file = tmp_path / "whosthere.yaml"
    file.write_text(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0])

    settings = load(file, environ={"MQTT_PASSWORD": "hunter2"})

    assert list(settings.cameras) == ["door", "hall", "desk"]
    assert settings.cameras["hall"].url == str(tmp_path / "clips/hall.mp4")


def test_every_url_of_the_cameras_page_can_be_opened(tmp_path):
    page = (PROJECT / "docs" / "cameras.md").read_text()
    file = tmp_path / "whosthere.yaml"
    file.write_text(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0])
    environ = {"CAM_USER": "ada", "CAM_PASSWORD": "hunter2/@", "STREAM_KEY": "hunter2"}

    cameras = load(file, environ={}).cameras

    opened = {name: address(name, camera, expand_url(camera.url, environ)) for name, camera in cameras.items()}
    assert {where.kind for where in opened.values()} == set(get_args(Kind)) - {"srt", "publish"}
    assert not any("hunter2" in where.who for where in opened.values())


def test_the_example_of_a_triton_server_loads(tmp_path):
    page = (PROJECT / "docs" / "models.md").read_text()
    (text,) = (block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "profiles:" in block)
    file = tmp_path / "whosthere.yaml"
    file.write_text(text)

    section = load(file, environ={}).recognition

    assert section.triton is not None
    assert section.triton.url == "127.0.0.1:8001"
    assert section.profiles["arcface_w600k_mbf"].triton is not None


def test_a_gallery_in_use_is_copied_as_the_page_says(tmp_path):
    page = (PROJECT / "docs" / "gallery.md").read_text()
    copying, restoring, rekeying, exporting, auditing = re.findall(r"```sh\nwhosthere (.*?)\n```", page)
    with opened(seeded(tmp_path / "home", [portable_person()])) as store:
        assert whosthere(*shlex.split(copying), cwd=tmp_path / "home").code == 0
        store.add_person("Bob")
        assert whosthere(*shlex.split(restoring), cwd=tmp_path / "home").code == 0
        assert [person.name for person in store.people()] == ["Ada Lovelace"]
        for command in (rekeying, exporting, auditing):
            ended = whosthere(*shlex.split(command), cwd=tmp_path / "home")
            assert ended.code == 0, ended.err


def test_every_code_of_the_page_of_troubles_is_one():
    """Those of faults, and what else the log says with a code."""
    import_everything()
    known = {error.code for error in family(CodedError)} | {
        "clock_set",
        "clock_ahead",
        "gallery_replaced",
        "ended",
        "no_publisher",
        *WORDS,
    }
    rows = re.findall(r"^\|(.*)\|$", (PROJECT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    told = [code for row in rows for code in re.findall(r"`([a-z]+(?:_[a-z]+)+|ended)`", row)]
    assert len(told) >= 25
    assert set(told) - known == set()


def test_every_metric_is_documented_with_its_type_and_labels():
    documented = {
        row[0].strip("`"): (row[1], tuple(re.findall(r"`(\w+)`", row[2]))) for row in table_rows("metrics.md")
    }
    # No sample of a metric with labels exists before its first use, so its labels are asked of the object.
    objects = [value for value in vars(Metrics()).values() if hasattr(value, "describe")]
    described = {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, metric._labelnames)
        for metric in objects
        for family in metric.describe()
    }

    assert len(described) > 20
    assert documented == described
    assert all(row[3] for row in table_rows("metrics.md"))


def test_the_messages_of_the_mqtt_page_are_as_they_are_sent():
    page = (PROJECT / "docs" / "mqtt.md").read_text()
    event, camera, there, away, last_seen, status = map(json.loads, re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    jsonschema.Draft202012Validator(json.loads(IDENTITY.read_text())).validate(event)
    ada = event["person"]["id"]
    presence = Presence({ada: "Ada Lovelace"}.get, publish_names=True, now=time.time)
    presence.heard(IdentityEvent.model_validate(event))

    assert set(event) == set(IdentityEvent.model_validate(event).model_dump(by_alias=True))
    assert (presence.camera("door") | {"unknown": 1, "at": camera["at"]}) == camera
    assert set(presence.person(ada, None)) == set(there) == set(away)
    assert presence.person(ada, None) | {"cameras": ["door", "hall"]} == there
    assert last_seen == asdict(sighting_of(IdentityEvent.model_validate(event)))
    assert list(status) == ["state", "since", "reason"]
    assert {ada} == set(re.findall(r"\bp[a-z0-9]{12}\b", page)), "one person throughout"


def test_the_mqtt_page_tells_every_end_reason_and_camera_state():
    page = (PROJECT / "docs" / "mqtt.md").read_text()
    words = {row[0].strip("`") for row in table_rows("mqtt.md")}

    assert set(get_args(EndReason)) | set(get_args(State)) <= words, page


def test_every_statement_of_the_privacy_page_names_a_test_or_a_command():
    """Each row of each table, in its last cell: a test that is there, a command, a page, or what the row above says."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (PROJECT / "docs" / "privacy.md").read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| |")
    ]
    held = [row[-1] for row in rows if row[-1] not in ("held by", "what helps")]
    assert len(held) > 30
    for cell in held:
        tests = re.findall(r"`([\w/]+\.py)::(\w+)`", cell)
        for file, name in tests:
            assert f"def {name}(" in (PROJECT / "tests" / file).read_text(), cell
        told = [words.split() for words in re.findall(r"`whosthere ([^`]+)`", cell)]
        for words in told:
            assert words[0] in COMMANDS or " ".join(words[:2]) in COMMANDS, cell
        assert tests or told or "the same" in cell or "this page" in cell or "keep_days" in cell, cell
