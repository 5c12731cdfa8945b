"""`events --since` on a data folder that no service looks after: moments, whose visits, pictures, refusals."""

import json
import time
from pathlib import Path

import pytest
import typer
import yaml

from gallery.keys.encryption import MasterKey
from streamer.cli.kept_events import moment
from streamer.kept_visits.visits_file import VisitsFile
from streamer.process import key_source
from streamer.settings_reading import load
from tests.command import Ended, assert_refused, whosthere
from tests.galleries import open_store
from tests.streamer.kept_visits.made import BOB, change, event, visit_id


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("8h", 1e9 - 28_800),
        ("30m", 1e9 - 1800),
        ("1.5d", 1e9 - 129_600),
        (" 2W ", 1e9 - 1_209_600),
        ("0s", 1e9),
        ("2026-11-30T18:00+00:00", 1_796_061_600.0),
        ("2026-11-30T18:00Z", 1_796_061_600.0),
    ],
)
def test_a_moment_is_so_long_ago_or_a_date(text, at):
    assert moment(text, 1e9) == at


def test_a_date_without_a_zone_is_local():
    assert moment("2026-11-30", 1e9) == time.mktime((2026, 11, 30, 0, 0, 0, 0, 0, -1))


@pytest.mark.parametrize("text", ["", "soon", "8", "h", "-8h", "2026-13-01", "99999999-01-01"])
def test_what_is_no_moment_is_said(text):
    with pytest.raises(typer.BadParameter, match="8h, 30m"):
        moment(text, 1e9)


class Home:
    """A gallery and kept visits: hers of an hour ago, those of somebody who is enrolled no more, a stranger's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "whosthere.yaml").write_text(yaml.safe_dump({"cameras": {"door": {"url": "clip.mp4"}}}))
        self.settings = load(folder / "whosthere.yaml")
        self.settings.paths.data.mkdir()
        with open_store(self.settings.gallery_path) as store:
            self.ada = store.add_person("Ada Lovelace").id
        self.hers, self.his, self.nobodys = visit_id(), visit_id(), visit_id()
        now = time.time()
        with VisitsFile(self.settings.visits_path, key_source(self.settings), make=True) as file:
            file.unlock(encrypt=True)
            new, end = event(self.hers, 1, self.ada, now - 3600), event(self.hers, 2, self.ada, now - 3500, type="end")
            file.write(
                [
                    change(self.hers, new, end),
                    change(self.his, event(self.his, person=BOB, at=now - 1800, camera="hall")),
                    change(self.nobodys, event(self.nobodys, person=None, at=now - 60), pictures={}),
                ]
            )

    def ask(self, *options: str) -> Ended:
        return whosthere("events", "--since", "2h", *options, cwd=self.folder)

    def found(self, *options: str) -> list[tuple[str, int]]:
        ended = self.ask("--json", *options)
        assert ended.code == 0, ended.err
        return [(told["event_id"], told["seq"]) for told in map(json.loads, ended.out.splitlines())]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


def test_whose_visits_when_and_where(home):
    hers = [(home.hers, 1), (home.hers, 2)]
    assert home.found() == [*hers, (home.his, 1), (home.nobodys, 1)]
    assert home.found("--person", "ada lovelace") == home.found("--person", home.ada) == hers
    assert home.found("--person", BOB) == [(home.his, 1)], "enrolled no more"
    assert home.found("--camera", "hall") == [(home.his, 1)], "a camera that was removed"
    assert home.found("--until", "45m") == hers
    assert home.found("--count", "1") == hers[:1]


def test_names_are_those_of_now(home):
    lines = home.ask().out.splitlines()
    assert [" ".join(line.split()[2:5]) for line in lines] == [
        "door new Ada",
        "door end Ada",
        f"hall new {BOB}",
        "door new unknown",
    ]


def test_pictures_are_the_users_alone(home, tmp_path):
    ended = home.ask("--json", "--pictures", str(tmp_path / "seen"))
    told = [json.loads(line) for line in ended.out.splitlines()]
    assert [Path(t["pictures"]["face"]).name if "pictures" in t else None for t in told] == [
        f"{home.hers}-face.jpg",
        f"{home.hers}-face.jpg",
        f"{home.his}-face.jpg",
        None,
    ]
    assert (tmp_path / "seen").stat().st_mode & 0o777 == 0o700
    for picture in (tmp_path / "seen").iterdir():
        assert picture.stat().st_mode & 0o777 == 0o600
        assert picture.read_bytes() == f"\xff\xd8 the {picture.stem.split('-')[1]}".encode("latin-1")


def test_refusals(home, tmp_path):
    assert_refused(home.ask("--person", "Nobody"), "person_not_found")
    assert_refused(home.ask("--camera", "dor"), "camera_unknown")
    assert_refused(home.ask("--pictures", str(home.settings.visits_path / "there")), "output_unwritable")
    assert home.ask("--until", "never").code == 2
    assert whosthere("events", "--pictures", "there", cwd=home.folder).code == 2
    none = whosthere("events", "--since", "1h", "--set", f"paths.data={tmp_path / 'none'}", cwd=home.folder)
    assert "snapshots" in assert_refused(none, "kept_visits_missing")
    (tmp_path / "master.key").write_text(MasterKey.new().to_text())
    assert_refused(home.ask("--set", f"paths.keys={tmp_path}"), "master_key_wrong")
    assert_refused(home.ask("--set", f"paths.keys={tmp_path / 'none'}"), "master_key_missing")
