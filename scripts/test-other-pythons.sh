#!/usr/bin/env bash
# Runs the tests that need no servers with every supported Python that is found here and is not .venv's; the others are
# named. PYTHONS="3.13" asks for these alone. Arguments go to pytest. Environments lie in .pythons/ and are made once.
set -euo pipefail
cd "$(dirname "$0")/.."

ours=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
failed=()
for version in ${PYTHONS:-3.11 3.12 3.13}; do
    [ "$version" != "$ours" ] || continue
    if ! python=$(scripts/find-python.sh "$version" 2>/dev/null); then
        echo "Python $version: skipped, it is not found here"
        continue
    fi
    venv=.pythons/$version
    if [ ! "$venv/.ready" -nt pyproject.toml ]; then
        "$python" -m venv --clear "$venv"
        "$venv/bin/python" -m pip install -qq --disable-pip-version-check --editable '.[cpu,webrtc,dev]'
        touch "$venv/.ready"
    fi
    echo "Python $version: $("$venv/bin/python" --version)"
    "$venv/bin/python" -m pytest -q --numprocesses 2 --dist loadgroup --no-loadscope-reorder \
        -m 'not live and not emulated' "$@" || failed+=("$version")
done
[ "${#failed[@]}" -eq 0 ] || { echo "tests failed with Python ${failed[*]}" >&2; exit 1; }
