#!/bin/sh
# Prints the Python that the project's environment is made with: 3.11 to 3.13, able to make one; with an argument
# (3.12) one of that version. $PYTHON, if set, is the only candidate. Exits 1 and says what to do where there is none.
set -eu

wanted=${1:-}

usable() {
    # Run it: a pyenv shim is there for versions that are not selected.
    "$1" -c "import sys, venv, ensurepip; have = sys.version_info[:2]
sys.exit(not (3, 11) <= have <= (3, 13) or '$wanted' not in ('', '%d.%d' % have))" 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
else
    set -- python3 python3.13 python3.12 python3.11 /usr/bin/python3 /usr/local/bin/python3 \
        "$HOME"/.pyenv/versions/3.1[123].*/bin/python3 "$HOME"/.local/share/uv/python/cpython-3.1[123].*/bin/python3
fi
for candidate in "$@"; do
    if usable "$candidate"; then
        "$candidate" -c 'import sys; print(sys.executable)'
        exit 0
    fi
done
echo "whosthere needs Python ${wanted:-3.11, 3.12 or 3.13} with its venv module, and found none;" \
    "on Debian: apt-get install python3 python3-venv; elsewhere set PYTHON to its path" >&2
exit 1
