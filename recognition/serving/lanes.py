"""Lanes: whose items they are, for queues and pools. A plain string is a lane that is served at once, as a camera's.

Threads that serve patient lanes alone step back for all others of this machine.
"""

import os
import sys
import threading
from contextlib import suppress


class PatientLane(str):
    """A lane whose items wait while those of plain lanes do: photos, requests over HTTP."""

    __slots__ = ()


PHOTO = PatientLane("photo")


def step_back(niceness: int) -> None:
    """The calling thread is so much nicer from now on (nice(7)); where threads have no niceness of their own, not."""
    if sys.platform == "linux":
        me = threading.get_native_id()
        with suppress(OSError):  # a sandbox that forbids it
            os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + niceness)
