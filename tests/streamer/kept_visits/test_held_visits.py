"""When the file of kept visits is looked at again: soon where it can't be opened, never on end where it is open."""

import math

import pytest

from gallery.errors import MasterKeyWrong
from streamer.errors import KeptVisitsDamaged, KeptVisitsUnwritable
from streamer.kept_visits.held_visits import RETRY_S, HeldVisits
from streamer.kept_visits.visits_file import VisitsFile
from tests.streamer.kept_visits.made import keys_in
from tests.streamer.kept_visits.test_visits_file import service_file


@pytest.fixture
def held(tmp_path):
    opened: list[VisitsFile] = []
    held = HeldVisits(tmp_path / "visits.db", keys_in(tmp_path), encrypt=True, began=opened.append)
    yield held
    held.close()


def test_there_is_none_until_one_is_wanted(held, tmp_path):
    held.look()
    assert (held.file, held.trouble, held.retry_in_s) == (None, None, math.inf)
    held.want()
    assert held.retry_in_s == 0.0
    held.look()
    assert held.retry_in_s == math.inf
    assert held.file is not None
    assert held.file.key_id is not None


def test_one_that_is_there_gets_its_key_once_it_is_wanted(held, tmp_path):
    service_file(tmp_path).close()
    held.look()
    assert held.file is not None
    (tmp_path / "keys" / "master.key").write_text("no key")
    held.want()
    assert held.retry_in_s == 0.0
    held.look()
    assert held.trouble is not None
    assert held.trouble.code == MasterKeyWrong.code
    assert 0.0 < held.retry_in_s <= RETRY_S


@pytest.mark.parametrize("error", [KeptVisitsUnwritable("full"), MasterKeyWrong("another")])
def test_what_fails_while_it_is_open_is_told_and_not_looked_at_without_end(held, error):
    held.want()
    held.look()

    def fail(_: VisitsFile) -> None:
        raise error

    assert not held.use(fail)
    assert held.trouble is error
    assert held.retry_in_s == (math.inf if error.retryable else pytest.approx(RETRY_S, abs=1.0))
    if error.retryable:
        assert held.use(lambda _: None)
        held.works()
        assert held.trouble is None


def test_a_disk_that_damages_all_that_is_written_is_not_filled(held, tmp_path):
    held.want()
    held.look()

    def fail(_: VisitsFile) -> None:
        raise KeptVisitsDamaged("again")

    assert not held.use(fail)
    assert held.retry_in_s == 0.0
    held.look()
    assert held.use(lambda _: None), "a new one"
    assert not held.use(fail)
    held.look()
    assert not held.use(lambda _: None)
    assert len(list(tmp_path.glob("visits.db.damaged-*Z"))) == 1
    assert held.trouble is not None
    assert held.retry_in_s > 30.0
