"""A piece of work in a process of its own, killed (SIGKILL) where somebody chose: at its nth call that changes a file,
in the middle of that call, or after some time.

By ptrace(2), so that what runs is the real thing to the last instruction; x86-64 Linux alone (CAN_TRACE says whether),
by time anywhere. The work is forked off from a process that has imported everything, which makes a kill cost
milliseconds; that process should have no threads and no open database. Blocks; one thread.
"""

import ctypes
import os
import pickle
import platform
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from recognition.errors import CodedError

Tell = Callable[[], None]
Work = Callable[[Tell], object]

# Calls that change a file or a folder, and where among their arguments the open file is, if it is.
_CHANGES = {
    1: "write", 18: "write", 20: "write", 296: "write", 328: "write", 40: "write", 326: "write",
    74: "fsync", 75: "fsync", 76: "truncate", 77: "truncate", 285: "truncate",
    82: "rename", 264: "rename", 316: "rename", 86: "link", 265: "link", 87: "unlink", 263: "unlink",
    83: "mkdir", 258: "mkdir", 84: "rmdir", 85: "create", 90: "chmod", 91: "chmod", 268: "chmod",
}  # fmt: skip
_OPENS = {2: 1, 257: 2}  # create a file where their flags, the argument of this number, say so
_SHORTENED = {1, 18}  # write, pwrite64: a kill may leave a part of what they write
_STANDARD = {1, 20, 296, 328}
TOLD = "told"
_RDX = 12 * 8

_TRACEME, _POKEUSER, _SYSCALL, _SETOPTIONS, _SYSCALL_INFO = 0, 6, 24, 0x4200, 0x420E
_SYSGOOD, _CLONE, _EXITKILL = 0x1, 0x8, 0x100000
_ENTRY, _EXIT = 1, 2
_WALL = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


class _SyscallInfo(ctypes.Structure):
    """struct ptrace_syscall_info, as far as it tells of an entry."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("arch", ctypes.c_uint32),
        ("instruction", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
    )


@dataclass(frozen=True, slots=True)
class Ending:
    """How a piece of work ended: `calls` that changed files were made or begun, by their kinds, and TOLD where it said
    that something is done; `told` is how often that was; `said` is what it printed.
    """

    killed: bool
    code: int
    calls: tuple[str, ...]
    told: int
    said: str


@dataclass(frozen=True, slots=True)
class Point:
    """Where to kill: at the `call`th change (from 1), of which only the share `torn` is made if that is given; or
    `after_s`. None of both: nowhere.
    """

    call: int | None = None
    torn: float | None = None
    after_s: float | None = None

    def __str__(self) -> str:
        if self.after_s is not None:
            return f"after {self.after_s * 1000:.1f} ms"
        return f"call {self.call}" + ("" if self.torn is None else f", {self.torn:.0%} of it made")


NOWHERE = Point()


def run(work: Work, point: Point = NOWHERE) -> Ending:
    """Do this in a child, up to the point."""
    by_time = point.after_s is not None or not CAN_TRACE
    with tempfile.TemporaryFile() as said:
        reads, writes = os.pipe()
        child = os.fork()
        if not child:
            os.close(reads)
            _become(work, writes, said, traced=not by_time)
        os.close(writes)
        status, calls = _kill_in_time(child, point) if by_time else _follow(child, writes, point)
        with os.fdopen(reads, "rb") as pipe:
            told = len(pipe.read())
        said.seek(0)
        return Ending(os.WIFSIGNALED(status), os.waitstatus_to_exitcode(status), calls, told, said.read().decode())


def apart(question: Callable[[], Any]) -> Any:
    """The answer to a question that opens databases, asked in a child. Raises AssertionError with its traceback."""
    return Apart(question).answer()


class Apart:
    """The same at leisure: the child runs beside what else is done; `question` may wait for `go`, a byte to come."""

    def __init__(self, question: Callable[[], Any], before: Callable[[], None] | None = None) -> None:
        reads, self._writes = os.pipe()
        self._reads, writes = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._writes)
            os.close(self._reads)
            _answer(question, before, reads, writes)
        os.close(reads)
        os.close(writes)
        self._pipe = os.fdopen(self._reads, "rb")
        self._pipe.read(1)

    def answer(self) -> Any:
        """Let it go on, and wait."""
        os.close(self._writes)
        with self._pipe:
            data = self._pipe.read()
        os.waitpid(self.pid, 0)
        good, value = pickle.loads(data) if data else (False, "the child ended without a word")
        if not good:
            raise AssertionError(value)
        return value


def _answer(question: Callable[[], Any], before: Callable[[], None] | None, reads: int, writes: int) -> NoReturn:
    try:
        try:
            if before is not None:
                before()
            os.write(writes, b".")
            os.read(reads, 1)
            value = (True, question())
        except BaseException:  # noqa: BLE001 handed to the parent, whatever it is
            value = (False, traceback.format_exc())
        with os.fdopen(writes, "wb") as pipe:
            pickle.dump(value, pipe)
    finally:
        os._exit(0)


def _become(work: Work, tells: int, said: IO[bytes], *, traced: bool) -> NoReturn:
    code = 1
    try:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 the child's, to its end
        sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
        if traced:
            _libc.ptrace(_TRACEME, 0, None, None)
            os.kill(os.getpid(), signal.SIGSTOP)
        work(lambda: os.write(tells, b".") and None)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except CodedError as error:
        sys.stderr.write(f"{error} [{error.code}]\n")
    except BaseException:  # noqa: BLE001 shown, whatever it is
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _kill_in_time(child: int, point: Point) -> tuple[int, tuple[str, ...]]:
    if point.after_s is not None:
        time.sleep(point.after_s)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1], ()


def _follow(child: int, tells: int, point: Point) -> tuple[int, tuple[str, ...]]:
    """From call to call of all of its threads, until it ends or the point is reached."""
    os.waitpid(child, 0)
    _ptrace(_SETOPTIONS, child, _SYSGOOD | _CLONE | _EXITKILL)
    _ptrace(_SYSCALL, child, 0)
    seen, calls, dying = {child}, [], 0
    while True:
        thread, status = os.waitpid(-1, _WALL)
        if not os.WIFSTOPPED(status):
            if thread == child:
                return status, tuple(calls)
            continue
        passed_on = 0
        if os.WSTOPSIG(status) == signal.SIGTRAP | 0x80:
            info = _SyscallInfo()
            _ptrace(_SYSCALL_INFO, thread, ctypes.sizeof(info), ctypes.addressof(info))
            kind = _kind(info, tells) if info.op == _ENTRY else None
            if kind is not None:
                calls.append(kind)
            if kind is not None and len(calls) == point.call:
                if point.torn is None or kind == TOLD or info.number not in _SHORTENED:
                    os.kill(child, signal.SIGKILL)
                else:
                    _ptrace(_POKEUSER, thread, _RDX, int(info.arguments[2] * point.torn))
                    dying = thread
            elif info.op == _EXIT and thread == dying:
                os.kill(child, signal.SIGKILL)
        elif status >> 16 == 0 and thread in seen:
            passed_on = os.WSTOPSIG(status)
        seen.add(thread)
        _ptrace(_SYSCALL, thread, 0, passed_on)


def _kind(info: _SyscallInfo, tells: int) -> str | None:
    number, arguments = info.number, info.arguments
    if number in _OPENS:
        return "create" if arguments[_OPENS[number]] & os.O_CREAT else None
    if number in _STANDARD and arguments[0] in (1, 2, tells):
        return TOLD if arguments[0] == tells else None
    return _CHANGES.get(number)


def _ptrace(request: int, thread: int, address: int, data: int = 0) -> None:
    """Nothing where the thread is gone, as after a kill."""
    if request == _SETOPTIONS:
        address, data = 0, address
    if _libc.ptrace(request, thread, address, data) < 0 and ctypes.get_errno() != 3:
        raise OSError(ctypes.get_errno(), f"ptrace({request}): {os.strerror(ctypes.get_errno())}")


def _can_trace() -> bool:
    if platform.machine() != "x86_64" or sys.platform != "linux":
        return False
    child = os.fork()
    if not child:
        os._exit(int(_libc.ptrace(_TRACEME, 0, None, None) != 0))
    return os.waitpid(child, 0)[1] == 0


CAN_TRACE = _can_trace()
