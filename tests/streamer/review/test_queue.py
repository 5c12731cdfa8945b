"""What is to be reviewed, from one look to the next: only what came or is another one is read."""

import pytest

from recognition.specs.spec import MatchThresholds
from streamer.kept_visits.visit import VisitFace
from streamer.kept_visits.visits_file import VisitsFile
from streamer.review.cluster import Cluster
from streamer.review.reading import Queue
from tests.gallery.fakes import near, unit
from tests.streamer.kept_visits.made import NOW, change, event, keys_in, visit_id
from tests.streamer.review.test_linking import TABLE

DIM, SPACE = 256, "e.1"
RATES: dict[str, MatchThresholds] = {SPACE: TABLE}


class Watched(VisitsFile):
    """Which visits' faces are read."""

    read: list[str]

    def faces_of(self, event_ids):
        self.read += event_ids
        return super().faces_of(event_ids)

    def keep(self, person: int, quality: float = 0.8, of: str = "", seq: int = 1, seed: int = 0, **more) -> str:
        """A visit of somebody unknown which goes on; `of`: more of that one."""
        event_id = of or visit_id()
        told = event(event_id, seq, None, NOW + seq, decision="unknown", **more)
        faces = (VisitFace(near(unit(person, DIM), 0.9, seed or int(event_id[-6:])), quality, SPACE, "made by these"),)
        self.write([change(event_id, told, is_first=not of, faces=faces if quality else None, pictures={})])
        return event_id

    def looked(self, queue: Queue) -> tuple[tuple[Cluster, ...], list[str]]:
        """What there is to review, and whose faces were read for it."""
        self.read = []
        return queue.look(self, SPACE, RATES).clusters, sorted(self.read)


@pytest.fixture
def file(tmp_path):
    with Watched(tmp_path / "visits.db", keys_in(tmp_path), make=True) as opened:
        opened.unlock(encrypt=True)
        yield opened


def test_only_what_is_new_is_read(file):
    queue = Queue()
    first = [file.keep(1) for _ in range(3)] + [file.keep(2)]
    clusters, read = file.looked(queue)
    assert ([len(one.event_ids) for one in clusters], read) == ([3, 1], sorted(first))
    assert file.looked(queue) == (clusters, [])
    later = file.keep(2)
    clusters, read = file.looked(queue)
    assert ([len(one.event_ids) for one in clusters], read) == ([3, 2], [later])
    file.erase([first[0]])
    clusters, read = file.looked(queue)
    assert ([len(one.event_ids) for one in clusters], read) == ([2, 2], [])


def test_a_visit_that_goes_on_is_read_again_for_other_faces_alone_and_at_its_end(file):
    queue = Queue()
    other, of = file.keep(1), file.keep(1)
    (before,), _ = file.looked(queue)
    file.keep(1, 0.0, of, 20)
    (now,), read = file.looked(queue)
    assert (now.id, now.last_at, read) == (before.id, NOW + 20, []), "it is seen still"
    file.keep(2, 0.9, of, 30)
    clusters, read = file.looked(queue)
    assert ({one.event_ids for one in clusters}, read) == ({(other,), (of,)}, [of]), "a better face, of another person"
    file.keep(1, 0.95, of, 40, type="end", end_reason="left")
    clusters, read = file.looked(queue)
    assert ([len(one.event_ids) for one in clusters], read) == ([2], [of])
    assert file.looked(queue)[1] == []


def test_who_is_ignored_named_or_known_by_another_model_is_not_shown_and_nobody_is_read_for_it(file):
    queue = Queue()
    ignored, named = file.keep(1), file.keep(2)
    file.looked(queue)
    file.ignore([ignored], NOW)
    file.name([named], "p" + "b" * 12, NOW)
    assert file.looked(queue) == ((), [])
    later = file.keep(1)
    assert file.looked(queue) == ((), [later])
    assert queue.look(file, SPACE, {}).clusters == ()


def test_what_was_cleared_is_read_anew(file):
    queue = Queue()
    of = file.keep(1)
    clusters, _ = file.looked(queue)
    queue.clear()
    assert not queue._faces
    assert file.looked(queue) == (clusters, [of])
