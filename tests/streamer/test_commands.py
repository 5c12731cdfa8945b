"""The command line's promises: help with an example, JSON alone on stdout, exit codes, and people by hand.

What is refused, and in which words, is in tests/test_bad_input.py.
"""

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import pytest
import typer
import yaml
from typer.testing import CliRunner

from streamer import __version__
from streamer.cli.anywhere import moved_back
from streamer.commands import app
from streamer.demo.scene import write_stills
from streamer.process import only_one
from tests.command import assert_refused, run_python, whosthere
from tests.conftest import PROJECT
from tests.faces import KNOWN, STRANGERS, write_photo
from tests.galleries import open_store
from tests.gallery.fakes import photo_of, unit
from tests.streamer.ingest.clips import write_clip

COMMANDS = [
    *("setup", "serve", "check", "doctor", "demo", "enrol", "identify", "events", "bench", "train"),
    *("people list", "people show", "people rename", "people forget", "people photos", "people remove-photo"),
    *("people not", "people ignore", "people merge", "people split"),
    *("people set", "people export", "people import", "gallery backup", "gallery restore", "gallery rekey"),
    *("gallery purge", "gallery audit", "calibrate", "people look-alikes"),
    *("cameras list", "cameras probe", "cameras discover", "cameras add", "cameras set"),
    *("cameras enable", "cameras disable", "cameras remove", "cameras reset"),
    *("models list", "models show", "models verify", "models selftest"),
    *("models eval", "models bench", "models use", "gallery reindex"),
    *("models pull", "models import", "models bundle", "models convert", "models triton-repo"),
    *("train-weights detector", "train-weights embedder"),
    *("tokens make", "tokens list", "tokens revoke"),
]
WITHOUT_DATA = ("serve", "train-weights detector", "train-weights embedder")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a configuration and somebody enrolled; no larger weights, no broker."""
    write_clip(tmp_path / "hall.mp4", 10)
    config = {
        "mqtt": {"port": 1},
        "cameras": {
            "hall": {"url": "hall.mp4", "loop": True},
            "door": {"url": "rtsp://ada:hunter2@192.0.2.9/h264?password=hunter2", "enabled": False},
        },
    }
    (tmp_path / "whosthere.yaml").write_text(yaml.safe_dump(config))
    with open_store(tmp_path / "var" / "gallery.db") as store:
        store.add_person("Ada Lovelace", [photo_of(unit(1), 1), photo_of(unit(1), 2)])
    return tmp_path


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and photos: three of one woman, one of nobody."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "whosthere.yaml").write_text(yaml.safe_dump({"mqtt": {"port": 1}}))
    (folder / "text.jpg").write_text("This is no photo.")
    for number, still in enumerate(write_stills(folder), 1):
        still.rename(folder / f"{number}.jpg")
    return folder


def leaves(command: Any, path: str = "") -> Iterator[str]:
    """Every command by the words that are typed for it."""
    if not hasattr(command, "commands"):
        yield path
        return
    for name, below in command.commands.items():
        yield from leaves(below, f"{path} {name}".strip())


def test_these_are_the_commands() -> None:
    assert sorted(leaves(typer.main.get_command(app))) == sorted(COMMANDS)


# What seeing takes, and serving.
HEAVY = {"av", "cv2", "faiss", "fastapi", "lap", "onnx", "onnxruntime", "torch", "sklearn", "aiortc", "uvicorn"}
# Commands that need no model, and how each ends: without a broker, and with nothing kept, in 1. All in one process.
LIGHT = {
    "--version": 0,
    "people list": 0,
    "people show Ada": 1,
    "people show AdaLovelace --json": 0,
    "people photos AdaLovelace": 0,
    "people set AdaLovelace --tag staff": 0,
    "people ignore AdaLovelace": 0,
    "people rename AdaLovelace AdaKing": 0,
    "people export AdaKing ada.zip": 0,
    "people split AdaKing 2 --as Grace": 0,
    "people remove-photo AdaKing 1": 0,
    "gallery audit": 0,
    "gallery purge --dry-run": 0,
    "gallery backup monday.db": 0,
    "gallery restore monday.db --yes": 0,
    "gallery rekey": 0,
    "cameras list": 0,
    "cameras disable hall": 0,
    "cameras add yard yard.mp4": 0,
    "cameras remove yard": 0,
    "tokens make me --role viewer": 0,
    "tokens list": 0,
    "tokens revoke me": 0,
    "events": 1,
    "events --since 8h": 1,
    "people forget AdaKing --yes": 0,
}
LOADED = """
import sys
from streamer.entry import main
for line in sys.argv[1:]:
    sys.argv[1:], code = line.split(), 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    sys.stdout.flush()
    sys.stderr.write(f"\\n>>> {line}>>> {code}>>> {' '.join(name for name in sys.modules if '.' not in name)}\\n")
"""


def loaded(home: Path, *lines: str) -> dict[str, tuple[int, set[str]]]:
    """How each ended, one after the other in one process, and the packages that were imported by then."""
    ended = run_python(["-c", LOADED, *lines], home)
    told = [line.split(">>> ")[1:] for line in ended.err.splitlines() if line.startswith(">>> ")]
    assert [line for line, *_ in told] == list(lines), ended
    return {line: (int(code), set(names.split())) for line, code, names in told}


def test_commands_that_need_no_model_load_none(home: Path) -> None:
    told = loaded(home, *LIGHT)
    assert {line: code for line, (code, _) in told.items()} == LIGHT
    assert {line: names & HEAVY for line, (_, names) in told.items() if names & HEAVY} == {}
    assert "numpy" in told["people list"][1], "what is loaded is seen"
    assert not told["people photos AdaLovelace"][1] & {"aiomqtt", "prometheus_client", "psutil", "uvloop"}
    assert "cv2" in loaded(home, "people look-alikes")["people look-alikes"][1]


def test_help_loads_no_more_than_it_shows(home: Path) -> None:
    lines = ["--help", *(f"{group} --help" for group in ("people", "gallery", "cameras", "models"))]
    told = loaded(home, *lines, "nonsense", "people lst")
    assert [code for code, _ in told.values()] == [0] * len(lines) + [2, 2]
    for code, names in told.values():
        assert not names & (HEAVY | {"numpy", "rich", "yaml", "cryptography", "gallery", "sqlite3", "uvloop"}), code
    assert "pydantic" not in told["--help"][1]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0
    example = re.search(r"Examples?: (.*)", shown.output, re.DOTALL)
    assert example
    assert " ".join(example[1].split()).startswith(f"whosthere {command}")
    assert "--config" in shown.output
    assert "--set" in shown.output
    assert ("--json" in shown.output) is (command not in WITHOUT_DATA)


def test_help_of_every_group_has_an_example() -> None:
    root = typer.main.get_command(app)
    groups = [name for name, command in root.commands.items() if hasattr(command, "commands")]
    assert groups == ["people", "gallery", "cameras", "models", "train-weights", "tokens"]
    for group in groups:
        shown = CliRunner().invoke(app, [group, "--help"])
        example = re.search(rf"Example: whosthere {group} ([\w-]+)", shown.output)
        assert example, shown.output
        assert example[1] in root.commands[group].commands


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("watch", "No such command 'watch'"),
        ("--set http.port=0", "Missing command"),
        ("--json serve", "serve takes no --json; it takes --config, --set, --log-format, --api-only, --reuse-port."),
        ("--json=1 serve", "serve takes no --json"),
        ("--loud serve", "serve takes no --loud"),
        ("-x 3 people list", "people list takes no -x; it takes --config, --set, --json."),
        ("--json train-weights detector", "train-weights detector takes no --json; it takes --data, "),
        ("--count 3 events", "--count has to stand behind the command: whosthere events --count"),
        ("--pick=largest enrol Ada a.jpg", "--pick has to stand behind the command: whosthere enrol --pick"),
        ("people --yes forget Ada", "--yes has to stand behind the command: whosthere people forget --yes"),
        ("--loud", "No such option: --loud"),
        ("serve --json", "No such option: --json"),
        ("identify", "Missing argument 'IMAGE'"),
        ("people remove-photo Ada", "Missing argument 'ID'"),
        ("people remove-photo Ada first", "Invalid value for 'ID'"),
        ("enrol", "Missing argument 'NAME'"),
        ("enrol Ada", "Missing argument 'IMAGE'"),
        ("enrol Ada a.jpg --pick smallest", "'smallest' is not"),
        ("people forget", "Missing argument 'PERSON'"),
        ("people rename Ada", "Missing argument 'NAME'"),
        ("cameras probe", "Missing argument 'CAMERA_OR_URL'"),
        ("cameras add door", "Missing argument 'URL'"),
        ("cameras set hall", "want at least one KEY=VALUE"),
        ("cameras probe hall --transport sctp", "'sctp' is not one of 'tcp', 'udp'"),
        ("serve --log-format xml", "'xml' is not one of 'auto', 'text', 'json'"),
        ("events --count 0", "--count"),
        ("demo --seconds soon", "--seconds"),
        ("models eval nano", "Missing option '--images'"),
        ("tokens make phone --role boss", "'--role': 'boss' is not one of 'viewer', 'operator', 'admin'."),
        ("cameras add door x --transport tls", "'--transport': 'tls' is not one of 'tcp', 'udp'."),
        ("serve --log-format xml", "'--log-format': 'xml' is not one of "),
        ("models use", "Missing argument 'MODEL'"),
    ],
)
def test_bad_usage_exits_with_2(typed: str, complaint: str) -> None:
    ended = CliRunner().invoke(app, typed.split())
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert complaint in ended.stderr
    assert ended.stderr.startswith("Usage: ")


def test_bad_usage_as_a_process(tmp_path: Path) -> None:
    ended = whosthere("people", "erase", cwd=tmp_path)
    assert ended.code == 2
    assert ended.out == ""
    assert "No such command 'erase'" in ended.err


def test_people_as_json(home: Path) -> None:
    listed = whosthere("people", "list", "--json", cwd=home)
    (person,) = listed.document["people"]
    assert (person["name"], person["photos"], person["templates"]) == ("Ada Lovelace", 2, {"test_space.1": 2})
    assert re.fullmatch("p[a-z0-9]{12}", person["id"])
    shown = whosthere("people", "show", person["id"], "--json", cwd=home)
    assert shown.document == person | {"former_ids": [], "negatives": []}
    assert listed.err == shown.err == ""


def test_cameras_as_json(home: Path) -> None:
    listed = whosthere("cameras", "list", "--json", cwd=home)
    hall, door = sorted(listed.document["cameras"], key=lambda camera: camera["name"], reverse=True)
    assert (hall["url"], hall["loop"], hall["enabled"]) == (str(home / "hall.mp4"), True, True)
    assert (door["url"], door["enabled"]) == ("rtsp://***@192.0.2.9/h264?password=***", False)
    probed = whosthere("cameras", "probe", "hall", "--json", cwd=home)
    assert (probed.document["codec"], probed.document["width"], probed.document["height"]) == ("h264", 160, 96)
    assert listed.err == probed.err == ""


def test_models_as_json_without_their_weights(home: Path) -> None:
    listed = whosthere("models", "list", "--json", cwd=home)
    assert listed.code == 0
    assert {row["name"]: row["weights"] for row in listed.document["models"]}["scrfd_500m"] is None
    verified = whosthere("models", "verify", "yunet_n", "--json", cwd=home)
    (row,) = verified.document["models"]
    assert (row["name"], row["ok"], row["code"]) == ("yunet_n", False, "weights_missing")
    assert row["detail"] in assert_refused(verified, "weights_missing")


def test_models_as_json(studio: Path) -> None:
    for command in ("verify", "selftest"):
        ended = whosthere("models", command, "--json", cwd=studio)
        assert (ended.code, ended.err) == (0, "")
        assert [(row["name"], row["ok"]) for row in ended.document["models"]] == [
            ("nano_det", True),
            ("nano_embed", True),
        ]


def test_check_as_json(studio: Path) -> None:
    ended = whosthere("check", "--json", cwd=studio)
    assert ended.document["ok"] is False
    assert {row["part"]: row["code"] for row in ended.document["checks"]} == {
        "config": None,
        "processor": None,
        "models": None,
        "gallery": None,
        "calibration": None,
        "http": None,
        "broker": "broker_unreachable",
    }
    assert "1 of 7 checks failed" in assert_refused(ended, "broker_unreachable")


def test_a_person_from_enrolment_to_oblivion(studio: Path) -> None:
    ended = whosthere("enrol", "Eileen", "1.jpg", "text.jpg", "2.jpg", "--pick", "largest", cwd=studio)
    assert ended.code == 0
    told = ended.err.splitlines()  # nothing, where another test's command was the first here
    assert not told or (len(told) == 1 and "under a key that was made for it" in told[0])
    first, second, refused, total = ended.out.splitlines()
    assert re.fullmatch(r"taken    1\.jpg \(quality [01]\.\d\d\)", first)
    assert re.fullmatch(r"taken    2\.jpg \(quality [01]\.\d\d\)", second)
    assert refused.startswith("refused  text.jpg: is not a photo")
    assert refused.endswith("[image_unreadable]")
    assert re.fullmatch(r"Eileen \(p[a-z0-9]{12}\): 2 of 3 photos enrolled", total)

    again = whosthere("enrol", "Eileen", "1.jpg", "3.jpg", "--pick", "largest", "--json", cwd=studio)
    assert (again.code, again.err) == (0, "")
    assert [row["image"] for row in again.document["taken"]] == ["3.jpg"]
    assert again.document["already"] == ["1.jpg"]
    assert (again.document["refused"], again.document["warnings"]) == ([], [])

    none = whosthere("enrol", "Eileen", "text.jpg", "--json", cwd=studio)
    assert_refused(none, "no_photo_accepted")
    assert none.document["person"] is None
    assert [row["code"] for row in none.document["refused"]] == ["image_unreadable"]

    shouted = assert_refused(whosthere("enrol", "EILEEN", "3.jpg", cwd=studio), "name_taken")
    assert "'Eileen' is enrolled already" in shouted
    same = assert_refused(whosthere("enrol", "Grace", "3.jpg", cwd=studio), "enrolled_already")
    assert re.search(r"resemble Eileen \(p\w+\), who is enrolled already .*--force", same)
    forced = whosthere("enrol", "Grace", "3.jpg", "--force", cwd=studio)
    assert forced.code == 0
    assert re.match(r"warning: resembles Eileen \(p\w+\), who is enrolled already", forced.err)
    assert "name_taken" in whosthere("people", "rename", "Grace", "eileen", cwd=studio).err

    assert "3 photos" in whosthere("people", "show", "Eileen", cwd=studio).out
    assert whosthere("people", "rename", "Eileen", "Eileen Zoë", cwd=studio).out.endswith("is now Eileen Zoë\n")
    unknown = assert_refused(whosthere("people", "show", "Eileen", cwd=studio), "person_not_found")
    assert "did you mean 'Eileen Zoë'?" in unknown
    unasked = assert_refused(whosthere("people", "forget", "Eileen Zoë", cwd=studio), "confirmation_needed")
    assert "--yes" in unasked
    assert "3 photos" in whosthere("people", "show", "Eileen Zoë", cwd=studio).out
    assert whosthere("people", "forget", "Eileen Zoë", "--yes", cwd=studio).out.endswith("is forgotten\n")
    assert "Grace" in (listed := whosthere("people", "list", cwd=studio).out)
    assert "Eileen" not in listed


def test_version() -> None:
    ended = CliRunner().invoke(app, ["--version"])
    assert (ended.exit_code, ended.stdout) == (0, f"whosthere {__version__}\n")


@pytest.mark.parametrize(
    "typed",
    [
        "people list --json --config other.yaml",
        "--config other.yaml people list --json",
        "-c other.yaml --json people list",
        "people --config=other.yaml --json list",
        "--json people --set paths.data=var list --config other.yaml",
    ],
)
def test_shared_options_may_stand_before_or_after_the_command(home: Path, typed: str) -> None:
    (home / "whosthere.yaml").rename(home / "other.yaml")
    (home / "whosthere.yaml").write_text("paths: {data: elsewhere}")
    ended = whosthere(*typed.split(), cwd=home)
    assert (ended.code, ended.err) == (0, "")
    assert [person["name"] for person in ended.document["people"]] == ["Ada Lovelace"]


def test_a_value_set_before_the_command_joins_one_set_behind_it(home: Path) -> None:
    ended = whosthere("--set", "mqtt.port=many", "serve", "--set", "http.port=0", cwd=home)
    assert "mqtt.port" in assert_refused(ended, "config_invalid")


def test_what_belongs_to_a_command_stays_where_it_is() -> None:
    commands = typer.main.get_command(app).commands
    for typed in (["enrol", "--config", "x", "Ada", "a.jpg"], ["--loud", "people", "list"], ["nonsense"], [], ["-c"]):
        assert moved_back(typed, commands) == typed
    assert moved_back(["-s", "a.b=people", "people", "show", "--json", "list"], commands) == [
        *("people", "show", "-s", "a.b=people", "--json", "list")
    ]


@pytest.mark.parametrize("who", ["ada lovelace", "  Ada   LOVELACE ", "AdaLovelace", "ID"])
def test_capitals_and_blanks_make_no_other_person(home: Path, who: str) -> None:
    with open_store(home / "var" / "gallery.db") as store:
        (ada,) = store.people()
    shown = whosthere("people", "show", who.replace("ID", f" {ada.id.upper()}"), "--json", cwd=home)
    assert (shown.document["id"], shown.document["name"]) == (ada.id, "Ada Lovelace")


def test_nor_for_whatever_is_done_with_a_person(home: Path) -> None:
    (ada,) = whosthere("people", "list", "--json", cwd=home).document["people"]
    who = "  Ada   LOVELACE "
    first, _ = whosthere("people", "photos", who, "--json", cwd=home).document["photos"]
    removed = whosthere("people", "remove-photo", who, first["id"], "--json", cwd=home)
    assert (removed.document["person"]["id"], removed.document["photos"]) == (ada["id"], 1)
    renamed = whosthere("people", "rename", who, "ADA LOVELACE", "--json", cwd=home)
    assert (renamed.code, renamed.document) == (0, {"id": ada["id"], "name": "ADA LOVELACE"})
    told = whosthere("people", "forget", who, "--yes", "--json", cwd=home).document
    assert (told["forgotten"], [left["done_by"] for left in told["left"]]) == (ada["id"], ["service"])  # no broker here
    assert whosthere("people", "list", "--json", cwd=home).document == {"people": []}


def test_who_was_forgotten_can_be_once_more_by_the_id_and_what_stays_is_an_error(home: Path) -> None:
    (ada,) = whosthere("people", "list", "--json", cwd=home).document["people"]
    assert whosthere("people", "forget", ada["name"], "--yes", cwd=home).code == 0
    (home / "var" / "copy.db").write_bytes(ada["id"].encode())
    left = whosthere("people", "forget", ada["id"], "--yes", cwd=home)
    assert (left.code, left.out) == (1, f"{ada['id']} is forgotten\n")
    assert "keys: 0 people" in left.err
    assert left.complaints[-1].endswith(" [erasure_incomplete]")
    assert "copy.db: the id is there" in left.complaints[-1]


@pytest.mark.parametrize("column", ["profile", "profile_key", "template_key"])
def test_whoever_can_not_be_read_any_more_can_be_forgotten(home: Path, column: str) -> None:
    (ada,) = whosthere("people", "list", "--json", cwd=home).document["people"]
    with closing(sqlite3.connect(home / "var" / "gallery.db")) as db, db:
        db.execute(f"UPDATE people SET {column} = CAST(substr({column}, 1, 20) || 'xyz' AS BLOB)")
    if column != "template_key":
        listed = whosthere("people", "list", "--json", cwd=home)
        assert (listed.code, listed.document) == (0, {"people": []})
        assert ada["id"] in listed.err
        assert "forget each by this id" in listed.err
        assert_refused(whosthere("people", "show", ada["id"], cwd=home), "gallery_seal_broken")
        assert_refused(whosthere("people", "forget", "Somebody Else", "--yes", cwd=home), "person_not_found")
    assert whosthere("people", "forget", ada["id"], "--yes", cwd=home).code == 0
    assert whosthere("people", "list", "--json", cwd=home).document == {"people": []}


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        ("people show ada", "person_not_found", "; did you mean 'Ada Lovelace'?"),
        ("people forget Bob --yes", "person_not_found", "; see whosthere people list"),
        ("cameras probe hal", "camera_unknown", "; did you mean hall? (add it by `whosthere cameras add`"),
        ("cameras probe kitchen", "camera_unknown", "; there are: door, hall (add it by `whosthere cameras add`"),
        ("events --camera Door", "camera_unknown", "; did you mean door? (check --camera"),
        ("models use edgeface", "model_not_found", "; did you mean edgeface_xxs?"),
        ("models use scrfd_500", "model_not_found", "; see whosthere models list"),
        ("models show scrfd_500", "model_not_found", "; did you mean scrfd_500m?"),
        ("models verify SCRFD_500M", "model_not_found", "; did you mean scrfd_500m?"),
        ("models selftest xyzzy", "model_not_found", "; see whosthere models list"),
    ],
)
def test_a_name_that_is_none(home: Path, typed: str, code: str, told: str) -> None:
    assert told in assert_refused(whosthere(*typed.split(), cwd=home), code)


def test_photos_of_a_person(home: Path) -> None:
    listed = whosthere("people", "photos", "Ada Lovelace", "--json", cwd=home)
    assert listed.err == ""
    assert listed.document["person"]["name"] == "Ada Lovelace"
    first, second = listed.document["photos"]
    assert (first["quality"], first["spaces"], len(first["sha256"])) == (0.9, ["test_space.1"], 64)
    assert str(first["id"]) in whosthere("people", "photos", "Ada Lovelace", cwd=home).out
    assert_refused(whosthere("people", "photos", "Bob", cwd=home), "person_not_found")
    gone = assert_refused(whosthere("people", "remove-photo", "Ada Lovelace", "99", cwd=home), "photo_not_found")
    assert "people photos p" in gone
    removed = whosthere("people", "remove-photo", "Ada Lovelace", first["id"], "--json", cwd=home)
    assert (removed.document["removed"], removed.document["photos"], removed.err) == (first["id"], 1, "")
    left = whosthere("people", "photos", "Ada Lovelace", "--json", cwd=home).document["photos"]
    assert left == [second]
    last = whosthere("people", "remove-photo", "Ada Lovelace", second["id"], cwd=home)
    assert last.code == 0
    assert "is not recognised; enrol some" in last.err


def test_who_is_in_photos(studio: Path, tmp_path: Path) -> None:
    gallery = ("--set", f"paths.data={tmp_path}")
    group, wall = write_photo(tmp_path / "group.png", STRANGERS[0], KNOWN), write_photo(tmp_path / "wall.png")
    blurred = tmp_path / "blurred.png"
    cv2.imwrite(str(blurred), cv2.GaussianBlur(cv2.imread(str(studio / "3.jpg")), (0, 0), 7))
    before = whosthere("identify", "3.jpg", "--json", *gallery, cwd=studio)
    (face,) = before.document["images"][0]["faces"]
    assert (face["decision"], face["person"]) == ("unknown", None)

    enrolled = whosthere("enrol", "Eileen", "1.jpg", "2.jpg", "--json", *gallery, cwd=studio).document["person"]
    ended = whosthere("identify", group, "3.jpg", wall, blurred, "--json", *gallery, cwd=studio)
    assert (ended.code, ended.err) == (0, "")
    assert list(ended.document) == ["images"]
    images = ended.document["images"]
    assert [list(image) for image in images] == [["file", "faces"]] * 4
    assert [image["file"] for image in images] == [str(group), "3.jpg", str(wall), str(blurred)]
    for face in (face for image in images for face in image["faces"]):
        assert list(face)[:7] == ["box", "quality", "decision", "person", "similarity", "threshold", "confidence"]
        assert list(face)[7:] == ["candidates", "ignored"]
        assert len(face["box"]) == 4
    of_two, of_one, of_wall, of_blurred = (image["faces"] for image in images)
    assert sorted((face["decision"], face["person"] and face["person"]["name"]) for face in of_two) == [
        ("known", "Eileen"),
        ("unknown", None),
    ]
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (face["box"] for face in of_two)]
    assert areas == sorted(areas, reverse=True)
    assert of_one[0]["person"] == enrolled
    assert of_one[0]["similarity"] > of_one[0]["threshold"] > 0
    assert of_wall == []
    told = {(face["decision"], face["person"], face["similarity"], face["confidence"]) for face in of_blurred}
    assert told == {("poor", None, None, None)}

    told = whosthere("identify", "3.jpg", wall, *gallery, cwd=studio).out.splitlines()
    assert told[0].startswith(f"3.jpg: Eileen ({enrolled['id']}) similarity 0.")
    assert told[1:] == [f"{wall}: no face"]


def test_a_photo_that_can_t_be_read_does_not_hide_the_others(studio: Path, tmp_path: Path) -> None:
    ended = whosthere("identify", "text.jpg", "1.jpg", "--json", "--set", f"paths.data={tmp_path}", cwd=studio)
    assert_refused(ended, "image_unreadable")
    bad, good = ended.document["images"]
    assert (bad["file"], bad["faces"], bad["error"]["code"]) == ("text.jpg", [], "image_unreadable")
    assert len(good["faces"]) == 1


@pytest.mark.parametrize(
    ("camera", "hint"),
    [("dor", "did you mean door?"), ("Hall", "did you mean hall?"), ("door/identity", "there are: door, hall")],
)
def test_events_of_a_camera_that_is_not_configured_are_not_waited_for(home: Path, camera: str, hint: str) -> None:
    line = assert_refused(whosthere("events", "--camera", camera, cwd=home), "camera_unknown")
    assert f"whosthere: {camera} is no configured camera; {hint} (check --camera and --config)" in line


@pytest.mark.parametrize("typed", ["people list", "people list --json", "models list", "cameras list", "--version"])
def test_an_output_that_is_full_ends_in_one_line(home: Path, typed: str) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "streamer", *typed.split()]
        environ = os.environ | {"PYTHONPATH": str(PROJECT)}
        ended = subprocess.run(
            command, cwd=home, stdout=full, stderr=subprocess.PIPE, text=True, env=environ, timeout=60
        )
    assert ended.returncode == 1
    why = "the output can't be written (No space left on device); make room where it goes [output_unwritable]"
    assert ended.stderr == f"whosthere: {why}\n"


def test_a_gallery_that_is_gone_under_a_service_is_not_begun_anew(home: Path) -> None:
    (home / "var").mkdir(exist_ok=True)
    gallery = home / "var" / "gallery.db"
    for file in (home / "var").glob("gallery.db*"):
        file.unlink()
    with only_one(home / "var"):
        for typed in (["people", "list"], ["people", "forget", "Ada", "--yes"], ["enrol", "Ada", "ada.jpg"]):
            assert_refused(whosthere(*typed, cwd=home), "gallery_missing")
            assert not gallery.exists()
    assert whosthere("people", "list", cwd=home).code == 0


def test_events_of_somebody_who_is_not_enrolled_are_waited_for_with_a_word(home: Path) -> None:
    ended = whosthere("events", "--person", "Zork", cwd=home)
    assert ended.code == 1
    assert "[broker_unreachable]" in ended.err
    assert "nobody called 'Zork' is enrolled; see whosthere people list; waiting for events of 'Zork'" in ended.err
    assert "Ada" not in whosthere("events", "--person", "Ada Lovelace", cwd=home).err


def test_people_without_photos_have_no_template(home: Path) -> None:
    listed = whosthere("people", "photos", "Ada Lovelace", "--json", cwd=home).document["photos"]
    for photo in listed:
        assert whosthere("people", "remove-photo", "Ada Lovelace", photo["id"], cwd=home).code == 0
    told = whosthere("gallery", "reindex", cwd=home)
    assert "0 of 1 people have a template (the others have no photo that gives one)" in told.out
