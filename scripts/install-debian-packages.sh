#!/usr/bin/env bash
# The Debian packages that a group of tasks needs: `demo` (a Python), `stack` (that, a broker and Prometheus), `test`
# (that, and real servers to test with), or `arm64` (a Python, and what runs programs of 64-bit ARM).
# Root: installs what is missing. Others: prints the one command, and exits 1 if something is missing.
# The wheels bring their own libraries: headless OpenCV, PyAV and FAISS need no package beyond libstdc++ and zlib.
set -euo pipefail
cd "$(dirname "$0")/.."

needed=()
if ! scripts/find-python.sh >/dev/null 2>&1; then
    needed+=(python3 python3-venv)
fi
case "${1:-}" in
    demo) ;;
    test)
        needed+=(
            make git
            mosquitto mosquitto-clients     # the broker, and the client that the README tells people to use
            ffmpeg                          # makes clips: H.265, truncated, a size that changes
            python3 python3-gi gir1.2-gst-rtsp-server-1.0   # the RTSP server, run by Debian's own python3
            gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
            gstreamer1.0-plugins-ugly gstreamer1.0-libav
            gstreamer1.0-tools gstreamer1.0-rtsp            # a publisher besides ffmpeg
            chromium chromium-driver        # the browser that publishes and watches
            systemd                         # its tools alone: systemd-analyze looks at the units
            glib-networking                 # TLS for GStreamer's servers: rtsps
            coturn                          # the TURN server
            qemu-user                       # the same Python as other processors
            gcc libc6-dev                   # compiles the example of a re-ranking library
            prometheus prometheus-alertmanager   # scrapes us, is asked what dashboards ask, evaluates our alerts
        )
        ;;
    stack) needed+=(mosquitto mosquitto-clients prometheus) ;;
    arm64) needed+=(qemu-user) ;;
    *)
        echo "usage: $0 demo|stack|test|arm64" >&2
        exit 2
        ;;
esac
[ "${#needed[@]}" -gt 0 ] || exit 0

if ! command -v dpkg-query >/dev/null; then
    echo "no Debian here: see to it that you have what these packages hold: ${needed[*]}" >&2
    exit 0
fi

installed=" $(dpkg-query --show --showformat '${Package}=${db:Status-Status} ' "${needed[@]}" 2>/dev/null || true)"
missing=()
for package in "${needed[@]}"; do
    [[ $installed == *" $package=installed "* ]] || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "missing Debian packages; run: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
echo "installing Debian packages: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >&2
apt-get install -qq -y --no-install-recommends "${missing[@]}" >&2
