#!/usr/bin/env bash
# Makes .arm64: Debian's Python for aarch64 and, as aarch64 wheels, what `.[cpu]` and pytest need; no root, no binfmt.
# Run by qemu-user as .arm64/PROCESSOR/usr/bin/python. Does nothing where all is there already.
# Debian's packages come from the archives that this machine's apt is set up for, the wheels from where pip takes them.
set -euo pipefail
cd "$(dirname "$0")/.."

# Name to qemu, then as Linux tells it: implementer, variant, part, revision.
processors=(
    'cortex-a57 0x41 0x1 0xd07 0'   # Jetson Nano; 8-bit weights without dot products, as on a Raspberry Pi 4
    'cortex-a76 0x41 0x4 0xd0b 1'   # Raspberry Pi 5; dot products, as on a Jetson Orin
    'max 0x41 0x0 0xd83 1'          # all that qemu knows: SVE and products of 8-bit matrices, as on a Jetson Thor
)
packages=(python3 libstdc++6 zlib1g) # libstdc++ and zlib: for the wheels of headless OpenCV, PyAV and FAISS

fail() { echo "$*" >&2; exit 1; }

scripts/install-debian-packages.sh arm64
for command in qemu-aarch64 apt-get dpkg-deb; do
    command -v "$command" >/dev/null || fail "$command is missing: .arm64 is made on a Debian that has qemu-user"
done
[ -x .venv/bin/python ] || fail "no .venv here, whose pip brings the wheels; run: make setup"

requirements=$(.venv/bin/python - <<'PYTHON'
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
pytest = [line for line in extras["dev"] if line.startswith("pytest")]
print(*project["dependencies"], *extras["cpu"], *pytest, sep="\n")
PYTHON
)
wanted="${packages[*]} ${requirements//$'\n'/ } $(cksum <"$0")"
if [ "$(cat .arm64/made-with 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

echo "making .arm64 (a minute or two)" >&2
made="$PWD/.arm64.making"
rm -rf "$made" .arm64
trap 'rm -rf "$made"' EXIT
mkdir -p "$made"/apt/{lists,archives}/partial "$made"/usr/{bin,lib,sbin}
ln -s usr/bin usr/lib usr/sbin "$made" # as on every Debian, by a package that isn't unpacked here

# An apt of another architecture and with nothing installed, beside this machine's own, whose archives and keys it uses.
touch "$made/apt/status"
cat >"$made/apt/apt.conf" <<APT
APT::Architecture "arm64";
#clear APT::Architectures;
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
#clear APT::Update;
#clear DPkg;
Dir::State "$made/apt";
Dir::State::status "$made/apt/status";
Dir::Cache "$made/apt";
APT
apt-get -qq -c "$made/apt/apt.conf" update >&2 || fail "apt-get update failed for arm64, see above"
apt-get -qq -c "$made/apt/apt.conf" install -y --download-only "${packages[@]}" >&2 ||
    fail "no arm64 packages in the archives that apt is set up for here; Debian's have them"
for package in "$made"/apt/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink --no-same-owner -C "$made"
done
rm -r "$made/apt"

python=$(readlink "$made/usr/bin/python3") # of this Debian, such as python3.11
version=${python#python}
platforms=(--platform manylinux2014_aarch64)
for glibc in {17..28}; do # pip takes a newer one not to hold the older
    platforms=(--platform "manylinux_2_${glibc}_aarch64" "${platforms[@]}")
done
.venv/bin/python -m pip install -qq --disable-pip-version-check --only-binary=:all: \
    "${platforms[@]}" --implementation cp --python-version "$version" --abi "cp${version/./}" \
    --target "$made/usr/local/lib/$python/dist-packages" --requirement /dev/stdin <<<"$requirements" >&2 ||
    fail "no aarch64 wheels for Python $version of all that pyproject.toml requires, or no way to fetch them, see above"

# One view of the root for each processor. ONNX Runtime goes by /proc/cpuinfo besides what the processor says of itself:
# it crashes on another architecture's or where a processor is missing, and takes instructions for granted by the part.
# qemu reads it here, under -L, unless it makes one up itself, as from 8.1 on.
cat >"$made/usr/bin/python" <<'SH'
#!/bin/sh
root=${0%/usr/bin/python}
exec qemu-aarch64 -cpu "${root##*/}" -0 "$0" -L "$root" "$root/usr/bin/python3" "$@"
SH
chmod +x "$made/usr/bin/python"
for line in "${processors[@]}"; do
    read -r processor implementer variant part revision <<<"$line"
    view="$made/$processor"
    mkdir -p "$view/proc"
    ln -s ../usr ../lib "$view"
    for ((number = 0; number < $(getconf _NPROCESSORS_CONF); number++)); do
        printf '%-16s: %s\n' processor "$number" 'CPU implementer' "$implementer" 'CPU architecture' 8 \
            'CPU variant' "$variant" 'CPU part' "$part" 'CPU revision' "$revision"
        echo
    done >"$view/proc/cpuinfo"
    "$view/usr/bin/python" -c 'import onnxruntime' ||
        fail "ONNX Runtime doesn't load in Debian's $python for arm64 under $(qemu-aarch64 --version | head -n 1)"
done
echo "$wanted" >"$made/made-with"
mv "$made" .arm64
