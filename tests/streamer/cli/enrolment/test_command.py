"""`enrol` as a user types it: lists, clips, cameras; what is said, what is kept, what a kill leaves."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import cv2
import pytest
import yaml

from streamer.process import store_of
from streamer.settings_reading import load
from tests.command import Ended, assert_refused, whosthere
from tests.conftest import PROJECT
from tests.faces import KNOWN, NAME, STRANGERS, write_film, write_photo

PEOPLE = {NAME: KNOWN, **{f"Stranger {number}": one for number, one in enumerate(STRANGERS[:3], 1)}}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a configuration, four people's photos, a clip of one and one of two."""
    clips = {"hall": write_film(tmp_path / "hall.mp4", ([KNOWN], 3)).name}
    write_film(tmp_path / "two.mp4", ([KNOWN, STRANGERS[0]], 2))
    cameras = {name: {"url": url} for name, url in clips.items()}
    cameras["gate"] = {"url": "publish://", "password": "a password"}
    (tmp_path / "whosthere.yaml").write_text(yaml.safe_dump({"mqtt": {"port": 1}, "cameras": cameras}))
    for name, portrait in PEOPLE.items():
        folder = tmp_path / "people" / name
        folder.mkdir(parents=True)
        shutil.copy(portrait.file, folder / "1.jpg")
        (folder / "notes.txt").write_text("no photo")
    (tmp_path / "people" / "Stranger 1" / "text.jpg").write_text("no photo")
    return tmp_path


def enrol(home: Path, *typed: object) -> Ended:
    return whosthere("enrol", *typed, cwd=home)


def enrolled(home: Path) -> dict[str, int]:
    settings = load(home / "whosthere.yaml")
    with closing(store_of(settings)) as store:
        return {person.name: person.photos for person in store.people()}


def as_zip(home: Path) -> Path:
    with zipfile.ZipFile(home / "people.zip", "w") as archive:
        for file in sorted((home / "people").rglob("*")):
            archive.write(file, file.relative_to(home / "people"))
    return home / "people.zip"


def as_csv(home: Path) -> Path:
    rows = [f"{file.parent.name};people/{file.parent.name}/{file.name}" for file in sorted(home.glob("people/*/*.jpg"))]
    (home / "people.csv").write_text("\n".join(["name;file", *rows]), encoding="utf-8-sig")
    return home / "people.csv"


@pytest.mark.parametrize("source", [lambda home: home / "people", as_zip, as_csv], ids=["folder", "zip", "csv"])
def test_many_people_from_a_list_and_again_what_is_there_stays(home: Path, source) -> None:
    path = source(home).name
    first = enrol(home, "--from", path)
    assert first.code == 0
    *lines, total = first.out.splitlines()
    assert total == "4 people enrolled; of 5 photos 4 taken, 1 refused"
    assert sum(line.startswith("refused  ") and line.endswith("[image_unreadable]") for line in lines) == 1
    assert sum("1 of 1 photos enrolled" in line for line in lines) == 3
    assert enrolled(home) == dict.fromkeys(PEOPLE, 1)

    again = enrol(home, "--from", path, "--json")
    assert again.code == 0
    document = again.document
    assert document["counts"] == {
        "enrolled": 0,
        "added_to": 4,
        "not_enrolled": 0,
        "photos": 5,
        "photos_taken": 0,
        "photos_left_out": 0,
        "photos_refused": 1,
    }
    assert [one["given_as"] for one in document["people"]] == list(PEOPLE)
    assert all(len(one["already"]) == 1 and one["error"] is None for one in document["people"])
    (refused,) = document["people"][1]["refused"]
    assert refused["code"] == "image_unreadable"
    assert "text.jpg" in refused["image"]


def test_only_where_no_photo_passed_it_fails(home: Path) -> None:
    (home / "bad" / "Nobody").mkdir(parents=True)
    (home / "bad" / "Nobody" / "text.jpg").write_text("no photo")
    ended = enrol(home, "--from", "bad", "--json")
    assert_refused(ended, "no_photo_accepted")
    (nobody,) = ended.document["people"]
    assert (nobody["person"], nobody["error"]["code"]) == (None, "no_photo_accepted")
    assert [one["code"] for one in nobody["refused"]] == ["image_unreadable"]
    shutil.copytree(home / "people" / NAME, home / "bad" / NAME)
    mixed = enrol(home, "--from", "bad")
    assert (mixed.code, enrolled(home)) == (0, {NAME: 1})
    assert mixed.out.splitlines()[-1] == "1 people enrolled, 1 refused; of 2 photos 1 taken, 1 refused"


@pytest.mark.parametrize(
    ("rows", "total"),
    [
        ("Ada,{a}\nBea;Cia,{b}", "1 people enrolled; of 2 photos 1 taken, 1 refused"),
        ("Ada,{a}\nBea,{b}\nCia,{b}", "1 people enrolled; of 3 photos 1 taken, 2 refused"),
        ("Ada,{a}\nAda,{a2}\nBea,{b},more", "1 people enrolled; of 3 photos 1 taken, 1 left out, 1 refused"),
    ],
)
def test_what_became_of_each_photo_adds_up(home: Path, rows: str, total: str) -> None:
    photos = {"a": f"people/{NAME}/1.jpg", "b": "people/Stranger 2/1.jpg", "a2": "again.png"}
    cv2.imwrite(str(home / photos["a2"]), cv2.imread(str(home / photos["a"])))
    (home / "list.csv").write_text("name,file\n" + rows.format_map(photos))
    ended = enrol(home, "--from", "list.csv")
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1] == total


def test_a_poster_with_many_faces_is_refused_with_what_to_do(home: Path) -> None:
    poster = write_photo(home / "poster.png", *STRANGERS[:3], *STRANGERS[:3])
    line = assert_refused(enrol(home, "Ada", poster.name), "no_photo_accepted")
    assert "6 faces were found, and whose photo it is is not clear" in line
    assert "crop the photo to one face" in line


@pytest.mark.parametrize("typed", ["hall.mp4", "--from-camera hall --seconds 2", "--from-camera ./hall.mp4"])
def test_who_is_in_a_clip_or_before_a_camera_is_enrolled_once(home: Path, typed: str) -> None:
    ended = enrol(home, NAME, *typed.split())
    assert ended.code == 0, ended
    taken, total = ended.out.splitlines()
    assert taken.startswith("taken    ")
    assert "1 of " in total
    assert "left out: they add nothing" in total
    assert enrolled(home) == {NAME: 1}
    again = enrol(home, NAME, *typed.split(), "--json")
    assert (again.code, again.document["taken"], enrolled(home)) == (0, [], {NAME: 1})


def test_what_can_t_be_is_said_and_nobody_is_enrolled(home: Path) -> None:
    assert "about as large" in assert_refused_last(enrol(home, "Ada", "two.mp4"), "several_faces")
    pushed = assert_refused_last(enrol(home, "Ada", "--from-camera", "gate"), "camera_not_found")
    assert "--from-visit EVENT_ID" in pushed
    assert_refused_last(enrol(home, "Ada", "--from-camera", "hal"), "camera_unknown")
    assert_refused_last(enrol(home, "Ada", "--from-visit", "01XYZ"), "kept_visits_missing")
    assert_refused_last(enrol(home, "Ada", "missing.mp4"), "camera_not_found")
    assert_refused_last(enrol(home, "--from", "missing"), "enrolment_list_missing")
    assert enrolled(home) == {}


def assert_refused_last(ended: Ended, code: str) -> str:
    """After the line that says what is looked at."""
    line = ended.complaints[-1]
    assert (ended.code, "Traceback" in ended.err) == (1, False)
    assert line.endswith(f" [{code}]"), ended.err
    return line


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Missing argument 'NAME'"),
        ("Ada", "Missing argument 'IMAGE'"),
        ("Ada --from people", "--from says who is who"),
        ("Ada x.jpg --from-camera hall", "give one of"),
        ("Ada --from-visit 01X --from-camera hall", "give one of"),
        ("Ada x.jpg hall.mp4", "give a clip by itself"),
        ("Ada x.jpg --seconds 5", "--seconds is for"),
        ("Ada hall.mp4 --seconds 0", "--seconds"),
    ],
)
def test_bad_usage_is_said(home: Path, typed: str, said: str) -> None:
    ended = enrol(home, *typed.split())
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_a_kill_leaves_whole_people_and_the_next_run_does_the_rest(home: Path) -> None:
    for name in PEOPLE:
        for number in (2, 3):  # the same picture, as another file
            shutil.copy(home / "people" / name / "1.jpg", home / "people" / name / f"{number}.jpg")
            with (home / "people" / name / f"{number}.jpg").open("ab") as file:
                file.write(bytes([number]))
    typed = [sys.executable, "-m", "streamer", "enrol", "--from", "people", "--set", "gallery.enrol.max_photos=1"]
    environ = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(typed, cwd=home, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), "somebody is told of"
        process.send_signal(signal.SIGKILL)
    left = enrolled(home)
    assert left
    assert set(left.values()) == {1}
    assert enrol(home, "--from", "people", "--set", "gallery.enrol.max_photos=1").code == 0
    assert enrolled(home) == dict.fromkeys(PEOPLE, 1)
