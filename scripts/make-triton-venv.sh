#!/usr/bin/env bash
# Makes .triton-venv: a real Triton Inference Server for the tests, with what its Python backend needs to run a model.
# An environment of its own, since that backend wants numpy below 2. Does nothing where it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

# pytriton is there for the server within it, not for its Python layer, whose forty packages are left out.
server='nvidia-pytriton>=0.7,<0.8'
packages=('onnxruntime>=1.31,<2' 'numpy>=1.26,<2')

venv=.triton-venv
wanted="$server ${packages[*]}"
if [ "$(cat "$venv/made-with" 2>/dev/null)" = "$wanted" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    exit 0
fi

echo "making $venv (some minutes)" >&2
"$(scripts/find-python.sh)" -m venv --clear "$venv"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check "${packages[@]}" >&2
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps "$server" >&2

# The backend embeds a Python, and looks for the program that does so in its own folder.
"$venv/bin/python" - <<'PYTHON'
import ctypes
import sys
import sysconfig
from pathlib import Path

version = f"{sys.version_info.major}.{sys.version_info.minor}"
server = Path(sysconfig.get_path("purelib"), "pytriton", "tritonserver")
stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
if not stub.is_file():
    sys.exit(f"this Triton has no backend for Python {version}; set PYTHON to another one")
(server / "backends" / "python" / stub.name).symlink_to(stub)

library = f"libpython{version}.so.1.0"
for place in (Path(sysconfig.get_config_var("LIBDIR"), library), library):
    try:
        ctypes.CDLL(str(place))
        break
    except OSError:
        continue
else:
    sys.exit(f"Triton's Python backend needs {library}; on Debian: apt-get install libpython{version}")
PYTHON
echo "$wanted" >"$venv/made-with"
