#!/usr/bin/env bash
# Makes the folder dist/: sdist, wheel (out of the sdist), their SBOM and digests, of the commit that is checked out.
# They are built twice, in other folders, with another umask, time zone and age of files; unequal bytes fail. The wheel
# stays installed in $RELEASE_VENV, where that is set.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/dist
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
    git archive HEAD >"$scratch/tree.tar"
    if [ -n "$(git status --porcelain)" ]; then
        echo "make-release: what is not committed is not in it" >&2
    fi
else
    echo "make-release: there is no git here; made of the folder as it is, dated by its CHANGELOG.md" >&2
    SOURCE_DATE_EPOCH=$(stat -c %Y CHANGELOG.md)
    tar -c --exclude='./.*' --exclude=./dist --exclude=./site --exclude=./var --exclude=__pycache__ . >"$scratch/tree.tar"
    tar -r -f "$scratch/tree.tar" ./.gitignore ./.dockerignore ./.env.example
fi
export SOURCE_DATE_EPOCH

python=$(scripts/find-python.sh)
"$python" -m venv "$scratch/tools"
"$scratch/tools/bin/python" -m pip install -qq --no-compile --disable-pip-version-check -r scripts/release-requirements.txt

build() { # tree, out
    mkdir -p "$1" "$2"
    tar -x -C "$1" -f "$scratch/tree.tar"
    [ -z "${AGE:-}" ] || find "$1" -exec touch -d "$AGE" {} +
    "$scratch/tools/bin/python" -m build --no-isolation --outdir "$2" "$1" >"$scratch/build.log" 2>&1 || {
        cat "$scratch/build.log" >&2
        return 1
    }
}
(umask 022 && build "$scratch/one/whosthere" "$scratch/first")
(umask 077 && AGE='2001-02-03 04:05:06' TZ=Pacific/Chatham PYTHONHASHSEED=7 build "$scratch/a b/tree" "$scratch/again")
for file in "$scratch"/first/*; do
    cmp "$file" "$scratch/again/${file##*/}"
done

venv=${RELEASE_VENV:-$scratch/venv}
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install -qq --no-compile --disable-pip-version-check "$(echo "$scratch"/first/*.whl)[cpu,webrtc]"
"$scratch/tools/bin/cyclonedx-py" environment "$venv/bin/python" --pyproject pyproject.toml --short-PURLs \
    --output-reproducible --output-file "$scratch/environment.json" 2>"$scratch/sbom.log" || {
    cat "$scratch/sbom.log" >&2
    exit 1
}
version=$("$venv/bin/python" -c 'import importlib.metadata as of; print(of.version("whosthere"))')
"$scratch/tools/bin/python" scripts/write-sbom.py \
    "$scratch/environment.json" "$version" model/nano "$scratch/first/sbom.cdx.json"

(cd "$scratch/first" && sha256sum -- * >SHA256SUMS)
rm -rf "$out"
mv "$scratch/first" "$out"
chmod 755 "$out"
chmod 644 "$out"/*
cat "$out/SHA256SUMS"
