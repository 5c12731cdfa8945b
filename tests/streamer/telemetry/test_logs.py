"""What a log line looks like in both forms, and that no login gets into one."""

import io
import json
import logging
import os
import warnings

import pytest

from streamer.telemetry.logs import redacted_text, setup_logging

PASSWORD = "hunter2"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored():
    """Puts other loggers' levels back, too."""
    levels = {name: logging.getLogger(name).level for name in ("amqtt", "uvicorn", "uvicorn.error", "asyncio")}
    yield
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


@pytest.fixture
def log():
    return logging.getLogger("streamer.test")


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_pipe_gets_json_with_the_known_fields_on_top(log):
    stream = io.StringIO()
    setup_logging("info", "auto", stream)

    log.warning("camera %s", "door", extra={"camera": "door", "code": "stream_lost", "wait_s": 0.5, "n": 1 << 70})

    (line,) = lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "streamer.test",
        "message": "camera door",
        "camera": "door",
        "code": "stream_lost",
        "extra": {"wait_s": 0.5, "n": str(1 << 70)},
    }


def test_a_terminal_gets_text_and_json_when_asked(log):
    terminal, asked = Terminal(), Terminal()

    setup_logging("info", "auto", terminal)
    log.warning("gone", extra={"camera": "door"})
    setup_logging("info", "json", asked)
    log.warning("gone")

    assert terminal.getvalue().endswith("\x1b[33mWARNING\x1b[0m streamer.test: gone  camera=door\n")
    assert lines(asked)[0]["message"] == "gone"
    assert terminal.getvalue().count("\n") == 1, "the second setup replaces the first"


def test_text_in_a_pipe_has_no_colours(log):
    stream = io.StringIO()
    setup_logging("debug", "text", stream)

    log.debug("a")
    log.info("b")

    assert [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()] == [
        "DEBUG   streamer.test: a",
        "INFO    streamer.test: b",
    ]


def test_the_level_holds_and_noisy_libraries_are_quiet(log):
    stream = io.StringIO()
    setup_logging("warning", "json", stream)

    log.info("no")
    for name in ("amqtt.broker", "uvicorn.error", "uvicorn.access", "transitions.core", "asyncio"):
        logging.getLogger(name).info("no")
    log.warning("yes")
    logging.getLogger("uvicorn.error").error("yes too")

    assert [line["message"] for line in lines(stream)] == ["yes", "yes too"]


def test_pythons_warnings_become_log_lines():
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        setup_logging("info", "json", stream)
        warnings.warn(f"odd: rtsp://a:{PASSWORD}@h", stacklevel=1)
        logging.captureWarnings(False)

    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "odd: rtsp://***@h" in line["message"]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_login_gets_into_a_line(log, log_format):
    stream = io.StringIO()
    logging.getLogger().handlers.clear()  # pytest's own would keep the surrogate for a report, which must be UTF-8
    setup_logging("info", log_format, stream)
    url = f"rtsp://gate:{PASSWORD}@192.0.2.9/h264"

    log.warning("opened %s", url)
    log.warning(f"opened {url}")
    log.warning("opened", extra={"url": url, "tried": [{"url": url}], "error": OSError(url)})
    log.warning("stack", stack_info=True)
    log.warning("a name that is not UTF-8: \udcff")
    try:
        os.stat(url)
    except OSError:
        log.exception("failed")

    assert PASSWORD not in stream.getvalue()
    assert stream.getvalue().count("rtsp://***@192.0.2.9/h264") >= 6
    assert "Traceback" in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("open rtsp://a:b@h:554/c failed", "open rtsp://***@h:554/c failed"),
        ("rtsp://a:p@ss/w:rd@h/c", "rtsp://***@h/c"),
        ("'rtsp://a:it's@h/c'", "'rtsp://***@h/c'"),
        ("mqtt://token@h and http://u:p@g/x", "mqtt://***@h and http://***@g/x"),
        ("http://h/v.cgi?user=a&password=b&c=1", "http://h/v.cgi?user=a&password=***&c=1"),
        ("rtsp://h/user=a_password=b_channel=1.sdp", "rtsp://h/user=a_password=***"),
        ("http://h/?pwd=b c", "http://h/?pwd=*** c"),
        ("mail a@b about rtsp://h/c", "mail a@b about rtsp://h/c"),
        ("no url", "no url"),
        ("ada:hunter2@192.0.2.9/h264 can't be opened", "***@192.0.2.9/h264 can't be opened"),
        ("at 12:30 mail a@b", "at 12:30 mail a@b"),
    ],
)
def test_redact(text, expected):
    assert redacted_text(text) == expected


TOKEN = "wt_RB3iRCqstq3RdiUJiKb2GJeU2F9j8IVMDD-UwsJJdoM"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (f"GET /docs?access_token={TOKEN}&n=1", "GET /docs?access_token=***&n=1"),
        (f"GET /docs?t={TOKEN}#a", "GET /docs?t=wt_***#a"),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer ***"),
        ("[(b'authorization', b'Bearer pass-phrase')]", "[(b'authorization', b'Bearer ***')]"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic ***"),
        (f'{{"name": "me", "token": "{TOKEN}"}}', '{"name": "me", "token": "wt_***"}'),
        ("send it as `Authorization: Bearer TOKEN`", "send it as `Authorization: Bearer TOKEN`"),
        ('Bearer realm="whosthere", error="invalid_token"', 'Bearer realm="whosthere", error="invalid_token"'),
        ("wants a login by Digest SHA-256; set Basic or give", "wants a login by Digest SHA-256; set Basic or give"),
    ],
)
def test_no_token_is_logged_wherever_it_stands(log, said, shown):
    assert redacted_text(said) == shown
    stream = io.StringIO()
    setup_logging("info", "json", stream)
    log.warning("%s", said, extra={"headers": {"a": said}})
    (line,) = lines(stream)
    assert (line["message"], line["extra"]["headers"]["a"]) == (shown, shown)
