#!/usr/bin/env bash
# PyAV 18.1.0 (wheel, with libsvtav1): opening the SVT-AV1 encoder makes the thread that opens it a real-time one
# (SCHED_FIFO, priority 99) wherever the process may do so (root, a container's root with CAP_SYS_NICE), and leaves it so
# after the encoder is closed. Whatever that thread starts from then on inherits it: a child that spins takes a core for
# itself, and ordinary processes beside it starve. An encoder that is opened in a thread of its own does no such harm.
# Seen: SCHED_OTHER 0 before, SCHED_FIFO 99 after, and in a child that is started then.
set -euo pipefail
if [ "$(id -u)" != 0 ]; then
    echo "run as root: others may not have real-time priority, and nothing happens" >&2
    exit 1
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import os
import subprocess
import sys
from importlib.metadata import version

import av
import numpy as np

NAMES = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR"}
CHILD = "import os; print(os.sched_getscheduler(0))"


def policy() -> str:
    return f"{NAMES.get(os.sched_getscheduler(0), '?')} {os.sched_getparam(0).sched_priority}"


before = policy()
with av.open(io.BytesIO(), "w", format="mp4") as container:
    stream = container.add_stream("libsvtav1", rate=1)
    stream.width = stream.height = 128
    stream.pix_fmt = "yuv420p"
    frame = av.VideoFrame.from_ndarray(np.full((128, 128, 3), 90, np.uint8), format="rgb24")
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
after = policy()
child = int(subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True).stdout)
print(f"PyAV {version('av')}: {before} before, {after} after, {NAMES.get(child, child)} in a child")
if after == before:
    sys.exit("the thread is what it was: this has changed")
PYTHON
