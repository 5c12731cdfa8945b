"""Parts of the benchmark, one after another: what fails is told in its place, and the others stand.

Work goes in, its result comes out, or None; why is in `failed`. On the thread that calls.
"""

from collections.abc import Awaitable, Callable
from subprocess import SubprocessError
from typing import Any, TypeVar

from recognition.errors import CodedError
from streamer.errors import BenchFailed
from streamer.telemetry.logs import redacted_text

T = TypeVar("T")


class Parts:
    """failed: of each part that did, `part` and `why`, in the order in which they did."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.failed: list[dict[str, str]] = []
        self.say = say

    async def run(self, part: str, work: Awaitable[T]) -> T | None:
        """Its result; None where it failed."""
        try:
            return await work
        except Exception as error:  # noqa: BLE001 (whatever it is, what others measured must not be lost by it)
            self._fail(part, error)
            return None

    def fail(self, part: str, why: str) -> None:
        """It gave nothing, and it is known why."""
        self._fail(part, BenchFailed(why))

    def call(self, part: str, work: Callable[[], T]) -> T | None:
        """Likewise, for work that blocks."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 (as above)
            self._fail(part, error)
            return None

    def document(self) -> dict[str, Any]:
        """What the machine-readable output says of it."""
        return {"failed": self.failed}

    def _fail(self, part: str, error: Exception) -> None:
        why = why_of(error)
        self.failed.append({"part": part, "why": why})
        self.say(f"{part}: FAILED: {why}")


def why_of(error: BaseException) -> str:
    """In one line, without logins: of several at once the one that is a fault told plainly, else the first."""
    while isinstance(error, BaseExceptionGroup):
        plain = error.subgroup((CodedError, OSError, SubprocessError))
        error = (plain or error).exceptions[0]
    text = " ".join(str(error).split())
    if isinstance(error, CodedError):
        return redacted_text(text)
    return redacted_text(f"{type(error).__name__}: {text}" if text else type(error).__name__)
