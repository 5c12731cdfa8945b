#!/bin/sh
# Takes out of a virtual environment what a service never runs: pip, and the tests of the packages. What is left is
# compiled once, since it can't be written in a container with a read-only root. For the Dockerfile.
set -eu
site=$(echo "$1"/lib/python3.*/site-packages)
"$1/bin/pip" check
find "$site" -depth -type d \( -name tests -o -name test \) ! -path '*/whosthere*' -exec rm -rf {} +
find "$site" \( -name '*.pyi' -o -name '*.pyx' -o -name '*.h' -o -name '*.a' \) -type f -delete
rm -rf "$site"/pip "$site"/pip-* "$site"/setuptools "$site"/setuptools-* "$1"/bin/pip* "$1/share/man"
"$1/bin/python" -m compileall -q -j 0 "$site" || true
