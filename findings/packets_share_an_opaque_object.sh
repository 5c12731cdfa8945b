#!/usr/bin/env bash
# PyAV 18.1.0: `opaque` of two packets is the same Python object, as where packets of one arrival time are put together and
# the moment is handed on. When one packet is gone, the other one's opaque reads None; frames decoded from it have none
# either. A copy of the object for each packet helps.
# Seen: (1, 2), then None; with a copy (1, 2) stays.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import av


def left_to_the_second(first_opaque, second_opaque):
    first, second = av.Packet(b"1"), av.Packet(b"2")
    first.opaque, second.opaque = first_opaque, second_opaque
    before = second.opaque
    del first
    return before, second.opaque


moment = (1, 2)
shared = left_to_the_second(moment, moment)
copied = left_to_the_second(moment, tuple(list(moment)))
print(f"PyAV {av.__version__}: one object for both: {shared[0]}, then {shared[1]}; a copy: {copied[0]}, then {copied[1]}")
if shared != ((1, 2), None) or copied != ((1, 2), (1, 2)):
    sys.exit("this has changed")
PYTHON
