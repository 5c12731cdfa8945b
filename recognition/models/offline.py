"""Loading without a network: the threads that load a model are marked, and what they try to reach is refused.

An audit hook sees every thread's calls and acts on marked threads alone: cameras, the broker and Triton's client go
on in theirs. Marked are the thread inside no_network() and every threading.Thread begun there, until it is left.
Not seen: native code that opens sockets by itself (gRPC, libcurl, uvloop), other processes, threads begun earlier.
"""

import ipaddress
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from socket import AF_UNIX
from weakref import WeakKeyDictionary

from recognition.errors import NetworkForbidden

_SENDING = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_RESOLVING = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"})
_WATCHED = _SENDING | _RESOLVING

_SWITCHES = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
# HF_HUB_CACHE beside HF_HOME, since a user's own one would win. XDG_CACHE_HOME is left alone: these two stand above
# it, and it is pip's, Mesa's and fontconfig's folder too.
_CACHES = {"HF_HOME": "huggingface", "HF_HUB_CACHE": "huggingface/hub", "TORCH_HOME": "torch"}


@dataclass(slots=True, eq=False)
class _Load:
    """One stay inside no_network(). `tried`: the first that was refused, in words."""

    who: str
    lasts: bool = True
    tried: str | None = None


_loads: WeakKeyDictionary[threading.Thread, _Load] = WeakKeyDictionary()
_installing = threading.Lock()
_installed = False


@contextmanager
def no_network(who: str) -> Iterator[None]:
    """Until it is left, this thread and those it begins reach nothing but UNIX sockets. `who` begins the message.

    Raises NetworkForbidden where it is tried; and on leaving once more, if whoever tried has caught that: a loader
    that meant to fetch something has loaded something else instead.
    """
    _install()
    thread, load = threading.current_thread(), _Load(who)
    before = _loads.get(thread)
    _loads[thread] = load
    try:
        yield
    except Exception as error:
        if load.tried is not None and not isinstance(error, NetworkForbidden):
            raise _refusal(load) from error
        raise
    finally:
        load.lasts = False
        if before is None:
            _loads.pop(thread, None)
        else:
            _loads[thread] = before
    if load.tried is not None:
        raise _refusal(load)


def keep_offline(folder: Path | None) -> None:
    """Switch the libraries' downloads off and their caches into `folder`, for this process and its children.

    Always, whatever the user has set: weights that come out of somebody's download cache are no weights that
    paths.models names. Libraries read these when they are imported, and setenv races with getenv in other threads:
    call this early. Where the values stand already, nothing is touched.
    """
    wanted = dict(_SWITCHES)
    if folder is not None:
        wanted |= {name: str(folder.absolute() / ".cache" / part) for name, part in _CACHES.items()}
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _install() -> None:
    """Audit hooks can't be taken out again: one for the whole process, from the first load on."""
    global _installed
    with _installing:
        if not _installed:
            sys.addaudithook(_audit)
            _mark_threads_begun()
            _installed = True


def _mark_threads_begun() -> None:
    """Let a thread take over the mark of the one that starts it; Python 3.11 tells audit hooks nothing of threads."""
    start = threading.Thread.start

    @wraps(start)
    def marked_start(thread: threading.Thread) -> None:
        load = _loads.get(threading.current_thread())
        if load is not None and load.lasts:
            _loads[thread] = load
        start(thread)

    setattr(threading.Thread, "start", marked_start)  # noqa: B010 - mypy knows no assigning to a method


def _audit(event: str, args: tuple[object, ...], watched: frozenset[str] = _WATCHED) -> None:
    if event not in watched:
        return
    load = _loads.get(threading.current_thread())
    if load is None or not load.lasts:
        return
    where = _outside(event, args)
    if where is not None:
        load.tried = load.tried or where
        raise _refusal(load)


def _outside(event: str, args: tuple[object, ...]) -> str | None:
    """What is reached for, in words; None where nothing would leave this machine's own files."""
    if event in _SENDING:
        address = args[1]
        if address is None or getattr(args[0], "family", None) == AF_UNIX:
            return None
        return ":".join(str(part) for part in address[:2]) if isinstance(address, tuple) else str(address)
    if event == "socket.getaddrinfo" and _is_number(args[0]):
        return None
    return f"the name of {args[0]!r}"


def _is_number(host: object) -> bool:
    """Whether no name server needs to be asked: an address, or none at all."""
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if not text:
        return True
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True


def _refusal(load: _Load) -> NetworkForbidden:
    return NetworkForbidden(
        f"{load.who}: tried to reach {load.tried} while it was loaded, and models load from local files alone; put "
        "what it wants into a folder that paths.models names (whosthere models pull or import)"
    )
