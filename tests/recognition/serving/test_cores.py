import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from recognition.serving.cores import Cores
from tests.recognition.fakes import until

FOR_EVER_S = 3600.0


class Patient:
    """Somebody who wants a place, has it, and leaves when told."""

    def __init__(self, cores: Cores) -> None:
        self.has_place, self.leave = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._work, args=(cores,))
        self.thread.start()

    def _work(self, cores: Cores) -> None:
        with cores.place(is_patient=True):
            self.has_place.set()
            self.leave.wait(10)


@pytest.fixture
def patient() -> Iterator[Callable[[Cores], Patient]]:
    """Makes such, who are ended whatever the test finds."""
    made: list[Patient] = []

    def make(cores: Cores) -> Patient:
        made.append(Patient(cores))
        return made[-1]

    yield make
    for one in made:
        one.leave.set()
    for one in made:
        one.thread.join(10)


async def test_patient_runs_take_no_more_cores_than_there_are(patient):
    cores = Cores(2, 0, FOR_EVER_S)
    three = [patient(cores) for _ in range(3)]
    await until(lambda: sum(one.has_place.is_set() for one in three) == 2)
    waiting = next(one for one in three if not one.has_place.is_set())
    next(one for one in three if one.has_place.is_set()).leave.set()
    await until(waiting.has_place.is_set)


@pytest.mark.parametrize(("busy", "is_let_in"), [(0, True), (1, True), (2, False), (5, False)])
async def test_plain_runs_always_begin_and_keep_patient_ones_waiting(patient, busy, is_let_in):
    cores = Cores(2, 0, FOR_EVER_S)
    with ExitStack() as runs:
        for _ in range(busy):
            runs.enter_context(cores.place(is_patient=False))
        one = patient(cores)
        if is_let_in:
            await until(one.has_place.is_set)
        else:
            for _ in range(20):
                await asyncio.sleep(0)
            assert not one.has_place.is_set()
    await until(one.has_place.is_set)


async def test_nobody_waits_for_ever(patient):
    cores = Cores(1, 0, patience_s=0.001)
    with cores.place(is_patient=False):
        for one in [patient(cores) for _ in range(3)]:
            await until(one.has_place.is_set)


def test_a_run_that_fails_gives_its_place_back():
    cores = Cores(1, 0, FOR_EVER_S)
    for _ in range(3):
        with pytest.raises(MemoryError), cores.place(is_patient=True):
            raise MemoryError
