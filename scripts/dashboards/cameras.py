"""Cameras: which send, what becomes of their frames, how good their faces are, who publishes and who watches. Pure."""

from scripts.dashboards.parts import (
    CAMERA,
    GREEN,
    RATE,
    RED,
    YELLOW,
    Panel,
    query,
    rise,
    row,
    series,
    stat,
    table,
    timeline,
)

STATES = {"online": GREEN, "stalled": YELLOW, "offline": RED, "disabled": "text"}


def panels() -> list[Panel]:
    return [*_state(), row("Frames and faces"), *_frames(), row("Cameras that push, and who watches"), *_streams()]


def _per_camera(metric: str, more: str = "") -> str:
    return f"sum by (camera) (rate({metric}{{{CAMERA}{more}}}{RATE}))"


def _state() -> list[Panel]:
    colours = [
        {
            "matcher": {"id": "byName", "options": "State"},
            "properties": [
                {
                    "id": "mappings",
                    "value": [
                        {
                            "type": "value",
                            "options": {
                                state: {"text": state, "color": colour, "index": number}
                                for number, (state, colour) in enumerate(STATES.items())
                            },
                        }
                    ],
                },
                {"id": "custom.cellOptions", "value": {"type": "color-text"}},
            ],
        }
    ]
    return [
        table(
            "State, and why",
            "As on MQTT. docs/troubleshooting.md has each reason, and what to do about it.",
            f"whosthere_camera_state{{{CAMERA}}} == 1",
            {"camera": "Camera", "state": "State", "reason": "Reason"},
            overrides=colours,
            size=(8, 9),
        ),
        timeline(
            "Whether frames arrive",
            "Red: stalled, offline, or disabled by somebody; the table says which.",
            f"max by (camera) (whosthere_camera_up{{{CAMERA}}})",
            "{{camera}}",
            {0: ("away", RED), 1: ("online", GREEN)},
            size=(16, 9),
        ),
        series(
            "Faults in five minutes, by code",
            "What went wrong with a camera. docs/troubleshooting.md explains every code.",
            [query(rise("whosthere_camera_errors_total", "camera, code", CAMERA), "{{camera}}, {{code}}")],
            bars=True,
            size=(8, 8),
        ),
        series(
            "Opened again in five minutes",
            "Attempts to open a camera after it was lost. One or two a day are a router; many are a cable or its "
            "power.",
            [query(rise("whosthere_camera_reconnects_total", "camera", CAMERA), "{{camera}}")],
            size=(8, 8),
        ),
        timeline(
            "Pictures that can't be used",
            "They arrive and are damaged, black, frozen, or show faces too small; a camera has a row once it has had "
            "that trouble. docs/cameras.md",
            f"max by (camera, reason) (whosthere_camera_trouble{{{CAMERA}}} and "
            f"max_over_time(whosthere_camera_trouble{{{CAMERA}}}[$__range]) > 0)",
            "{{camera}}, {{reason}}",
            {0: ("fine", GREEN), 1: ("in trouble", RED)},
            size=(8, 8),
        ),
    ]


def _frames() -> list[Panel]:
    quality = f"{_per_camera('whosthere_face_quality_sum')} / ({_per_camera('whosthere_face_quality_count')} > 0)"
    return [
        stat(
            "Frames a second",
            "Looked at, of these cameras together.",
            f'sum(rate(whosthere_frames_total{{{CAMERA}, outcome="processed"}}{RATE}))',
            graph=True,
            decimals=1,
            size=(4, 8),
        ),
        series(
            "Frames processed a second",
            "By camera; at most its `fps`, fewer where the stream has fewer.",
            [query(_per_camera("whosthere_frames_total", ', outcome="processed"'), "{{camera}}")],
            size=(10, 8),
        ),
        series(
            "Frames not processed a second",
            "dropped: a newer one came first. shed: left out so that the others are in time; cameras on which somebody "
            "is seen come last. skipped: a queue was full. failed: could not be decoded or looked at. "
            "held_back: a publisher's, some of whose packets were lost.",
            [
                query(
                    f'sum by (camera, outcome) (rate(whosthere_frames_total{{{CAMERA}, outcome!="processed"}}{RATE}))',
                    "{{camera}}, {{outcome}}",
                )
            ],
            size=(10, 8),
        ),
        series(
            "Faces a second",
            "Faces found in the frames that were looked at. None by day at a door that is used: is the camera turned "
            "away, dirty, or dark?",
            [query(_per_camera("whosthere_faces_detected_total"), "{{camera}}")],
        ),
        series(
            "Mean quality of faces",
            "From 0 to 1, of all faces found. Below 0.4 names are rare: more light, a camera nearer and at face "
            "height. docs/cameras.md",
            [query(quality, "{{camera}}")],
            unit="percentunit",
            most=1,
        ),
    ]


def _streams() -> list[Panel]:
    return [
        series(
            "Received from publishers",
            "Bits a second of cameras that push, with sound.",
            [query(f"8 * {_per_camera('whosthere_ingest_bytes_total')}", "{{camera}}")],
            unit="bps",
            size=(8, 8),
        ),
        series(
            "Publishers' packets a second",
            "lost and late ones cost frames (held_back): Wi-Fi that is weak, a network that is full.",
            [query(f"sum by (outcome) (rate(whosthere_ingest_packets_total{{{CAMERA}}}{RATE}))", "{{outcome}}")],
            unit="pps",
            size=(8, 8),
        ),
        series(
            "Publishers refused in five minutes",
            "By code; login_refused: a wrong password. Of all cameras: who is refused has none.",
            [query(rise("whosthere_ingest_refused_total", "code"), "{{code}}")],
            bars=True,
            size=(8, 8),
        ),
        series(
            "Viewers",
            "Browsers that watch a camera by WebRTC; each camera that is watched is encoded once, for all of them.",
            [query(f"sum by (camera) (whosthere_viewers{{{CAMERA}}})", "{{camera}}")],
        ),
        series(
            "Frames for viewers",
            "encoded, dropped for a newer one, failed: a second.",
            [query(f"sum by (outcome) (rate(whosthere_view_frames_total{{{CAMERA}}}{RATE}))", "{{outcome}}")],
        ),
    ]
