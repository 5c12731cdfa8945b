import os
import sys
import threading

import pytest

from recognition.serving.lanes import PHOTO, PatientLane, step_back


def test_a_patient_lane_is_told_by_its_name_and_by_its_kind():
    assert PHOTO == "photo"
    assert isinstance(PHOTO, PatientLane)
    assert not isinstance("photo", PatientLane)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness of their own on Linux alone")
def test_a_thread_steps_back_and_no_other_does():
    before, seen = os.getpriority(os.PRIO_PROCESS, 0), []

    def work() -> None:
        for niceness in (3, 0, 2):
            step_back(niceness)
            seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) - before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [min(steps, 19 - before) for steps in (3, 3, 5)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
