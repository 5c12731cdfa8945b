#!/usr/bin/env bash
# Makes .ha: a real Home Assistant core, of the version and with the packages that tests/home_assistant/packages.txt
# names, on Python 3.13. Does nothing where it is there already. Needs a C compiler, and 420 MB.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.ha
packages=tests/home_assistant/packages.txt
wanted=$(sha256sum <"$packages")
if [ "$(cat "$venv/made-with" 2>/dev/null)" = "$wanted" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    exit 0
fi

python=$(scripts/find-python.sh 3.13)
command -v cc >/dev/null || { echo "a C compiler is missing; on Debian: apt-get install gcc libc6-dev" >&2; exit 1; }
echo "making $venv with $python (a minute or two)" >&2
"$python" -m venv --clear "$venv"
# Of what the core depends on, what it loads here alone: left to itself pip walks back through forty versions of a
# package for Bluetooth, for minutes.
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --requirement "$packages" >&2
echo "$wanted" >"$venv/made-with"
