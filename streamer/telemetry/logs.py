"""Log records in; text lines on a terminal, JSON lines anywhere else, on stderr; no login ever.

Standard logging only. Handlers run on the thread that logs; a line is one write.
"""

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

import orjson

LogFormat = Literal["auto", "text", "json"]

# Ours are the levels that a user asks for; these libraries report what we report better, or on every message.
_QUIET = {
    "aiomqtt": logging.ERROR,
    "amqtt": logging.ERROR,
    "aioice": logging.WARNING,
    "aiortc": logging.ERROR,
    "asyncio": logging.WARNING,
    "faiss": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,
    "libav": logging.CRITICAL,
    "mqtt": logging.ERROR,
    "transitions": logging.ERROR,
    "uvicorn": logging.WARNING,
    "uvicorn.access": logging.CRITICAL,
    "uvicorn.error": logging.ERROR,  # a warning for each request that is none, from whoever sends it
}

# A URL that has lost its "rtsp://" is taken for a path, and still holds its login.
_LOGIN_WITHOUT_SCHEME = re.compile(r"(?<![/\w])[^/\s:]+:[^/\s]+@(?=[\w.-]+[:/])")
# Looking for it takes the square of a word's length.
_LONGEST_WORD = 1024
# TURN servers have no slashes, RTMP's key is the path after its app.
_TURN = re.compile(r"(?i)\b(turns?):[^\s@]{1,512}@")
_RTMP_KEY = re.compile(r"(?i)\b(rtmps?://[^\s/]+/[^\s/?]+)/[^\s?\"']+")
# Cameras that take the login in the path or the query: ?user=a&password=b, /user=a_password=b_channel=1.
_PARAMETER = re.compile(r"(?i)(pass(?:word|wd|phrase)?|pwd|token|secret|credential|streamid|api_?key)=[^&\s\"']+")
# Our tokens wherever they stand, a query among them, and whatever else is sent as one.
_TOKEN = re.compile(r"\bwt_[\w-]+")
_HEADER = re.compile(r"(?i)\b(bearer|authorization.{1,8}?basic)\s+(?!token\b|realm=)[^\s'\"`,;]{4,}")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m", "DEBUG": "\x1b[2m"}


def redacted_text(text: str) -> str:
    """`scheme://user:password@host` -> `scheme://***@host`; tokens, and what follows password= or the like -> ***."""
    if "@" in text:
        text = "".join(_without_login(word) for word in re.split(r"(\s+)", text))
    text = _RTMP_KEY.sub(r"\1/***", text)
    return _HEADER.sub(r"\1 ***", _TOKEN.sub("wt_***", _PARAMETER.sub(r"\1=***", text)))


def _without_login(word: str) -> str:
    """Up to the last @: a password that nobody encoded may hold @, / and : itself."""
    if "@" not in word:
        return word
    login, _, rest = word.rpartition("@")
    scheme, slashes, _ = login.partition("://")
    if slashes:
        return f"{scheme}://***@{rest}"
    if len(word) > _LONGEST_WORD:
        return f"***@{rest}"
    return _LOGIN_WITHOUT_SCHEME.sub("***@", _TURN.sub(r"\1:***@", word))


def _clean(text: str) -> str:
    """Redacted, and without the lone surrogates that a file name may hold (JSON and UTF-8 know none)."""
    return redacted_text(text.encode("utf-8", "backslashreplace").decode())


class RedactingFilter(logging.Filter):
    """The last defence: whatever was logged, message, arguments, traceback and extras, loses its logins."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _clean(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = _clean(record.exc_text)
        if record.stack_info:
            record.stack_info = _clean(record.stack_info)
        for key in _extras(record):
            setattr(record, key, _plain(getattr(record, key)))
        return True


class TextFormatter(logging.Formatter):
    """`12:30:01.250 WARNING streamer.supervise: message  camera=door code=stream_lost`, times local."""

    def __init__(self, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        start, end = (_COLOURS.get(record.levelname, ""), "\x1b[0m") if self._colour else ("", "")
        extras = "".join(f" {key}={getattr(record, key)}" for key in _extras(record))
        line = f"{time} {start}{record.levelname:<7}{end if start else ''} {record.name}: {record.getMessage()}"
        return "\n".join(filter(None, (line + (f" {extras}" if extras else ""), *_trail(record))))


class JsonFormatter(logging.Formatter):
    """One object a line: time (UTC), level, logger, message; code, camera, extra, exception where present."""

    def format(self, record: logging.LogRecord) -> str:
        extras = {key: getattr(record, key) for key in _extras(record)}
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: extras.pop(key) for key in ("code", "camera") if key in extras}
        if extras:
            line["extra"] = extras
        if trail := "\n".join(_trail(record)):
            line["exception"] = trail
        return orjson.dumps(line).decode()


class ServiceHandler(logging.StreamHandler[TextIO]):
    """Ours, to be found again when setup_logging() is called a second time."""


def setup_logging(level: str = "info", log_format: LogFormat = "auto", stream: TextIO | None = None) -> None:
    """Sends every logger of the process to `stream` (stderr), and Python's warnings; a second call replaces.

    `auto` is text on a terminal and JSON lines elsewhere. Fields besides the message go in as
    `extra={"camera": name, "code": error.code, ...}`; all others land under `extra` in JSON.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    text = log_format == "text" or (log_format == "auto" and terminal)
    handler = ServiceHandler(stream)
    handler.setFormatter(TextFormatter(colour=terminal) if text else JsonFormatter())
    handler.addFilter(RedactingFilter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, ServiceHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(True)


def _extras(record: logging.LogRecord) -> list[str]:
    return [key for key in vars(record) if key not in _STANDARD]


def _trail(record: logging.LogRecord) -> list[str]:
    """The traceback and the stack, as the filter left them."""
    return [part for part in (record.exc_text, record.stack_info) if part]


def _plain(value: object) -> object:
    """An extra as JSON can hold it, its texts redacted."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return value
    if isinstance(value, dict):
        return {_clean(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return _clean(str(value))
