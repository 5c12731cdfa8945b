"""A writer that is killed at any moment: each visit is there whole, or not at all."""

import os
import random
import signal
import sys
import time

import pytest

from streamer.kept_visits.visits_file import VisitsFile
from tests import forking
from tests.conftest import PROJECT
from tests.streamer.kept_visits.made import NOW, keys_in

WRITER = """
import sys
from pathlib import Path
from tests.streamer.kept_visits.made import LIMITS, NOW, change, event, visit_id
from tests.streamer.kept_visits.test_visits_file import service_file
file = service_file(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    ids = [visit_id() for _ in range(3)]
    file.write([change(one, event(one), event(one, 2)) for one in ids])
    file.write([change(one, event(one, 3, type="end"), is_first=False) for one in ids])
    file.erase(ids[:1])
    file.tidy()
"""


@pytest.mark.parametrize("seed", range(5))
def test_each_visit_is_whole_or_absent(tmp_path, seed):
    for _ in range(2):
        reading, writing = os.pipe()
        with open(reading) as said, open(writing, "w") as to_us, open(os.devnull) as nothing:
            files = nothing.fileno(), to_us.fileno(), sys.__stderr__.fileno()
            process = forking.Forked([str(tmp_path)], PROJECT, os.environ, *files, program=WRITER)
            assert said.readline() == "ready\n"
        time.sleep(random.Random(seed).uniform(0.0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        with VisitsFile(tmp_path / "visits.db", keys_in(tmp_path)) as file:
            visits = list(file.search(0, 1e12))
            for visit in visits:
                assert [message.seq for message in visit.messages] in ([1, 2], [1, 2, 3])
                assert (visit.ended_at == NOW) == (len(visit.messages) == 3)
                assert file.pictures(visit.event_id) is not None
                assert len(file.faces(visit.event_id)) == 2
                assert visit.broken == 0
            file.erase([visit.event_id for visit in visits])
