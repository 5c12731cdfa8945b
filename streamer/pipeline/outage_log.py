"""OutageLog: which of a camera's steps can't be run now, told in the log when that begins and when it is over.

A failure or an answer of each step goes in, with the frame's time; log lines come out, one for each spell and code,
however many frames it takes along. Pure apart from its own state and the log: no clock of its own. On the loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from recognition.errors import CodedError, Overloaded

log = logging.getLogger(__name__)

Step = Literal["detect", "embed"]
T = TypeVar("T")
ROOM_S = 0.02  # how often somebody who waits looks for room in a full queue
LONGEST_PAUSE_S = 1.0  # between two attempts at a batch that could not be run
CALM_S = 5.0  # without a failure for so long, a spell is over: where every other batch fails, it goes on

_BAD: dict[Step, str] = {"detect": "its frames can't be looked at", "embed": "its faces can't be recognised"}
_GOOD: dict[Step, str] = {"detect": "its frames are looked at again", "embed": "its faces are recognised again"}


@dataclass(slots=True)
class _Spell:
    failed_s: float
    codes: set[str] = field(default_factory=set)
    answered: bool = False


class OutageLog:
    """The spells of one camera that are not over yet."""

    def __init__(self) -> None:
        self._open: dict[Step, _Spell] = {}

    def failed(self, camera: str, step: Step, error: CodedError, at_s: float) -> None:
        """The step could not be run for the frame of this time, s."""
        spell = self._open.setdefault(step, _Spell(at_s))
        spell.failed_s, spell.answered = max(at_s, spell.failed_s), False
        if error.code not in spell.codes:
            spell.codes.add(error.code)
            log.warning("camera %s: %s: %s", camera, _BAD[step], error, extra={"camera": camera, "code": error.code})

    async def attempt(
        self, ask: Callable[[], Awaitable[T]], step: Step, camera: str, at_s: float, *, waits: bool
    ) -> T | CodedError:
        """What the model answers; or, where it can't now (a full queue, no memory, a server that is away), why.

        waits: until there is an answer, however long that takes. What another attempt can't mend goes up.
        """
        pause_s = ROOM_S
        while True:
            try:
                answer = await ask()
            except CodedError as error:
                if not error.retryable:
                    raise
                full = isinstance(error, Overloaded)
                if not full:
                    self.failed(camera, step, error, at_s)
                if not waits:
                    return error.with_traceback(None)  # a traceback would hold the picture
                await asyncio.sleep(pause_s)
                pause_s = pause_s if full else min(2.0 * pause_s, LONGEST_PAUSE_S)
            else:
                self.answered(camera, step, at_s)
                return answer

    def answered(self, camera: str, step: Step, at_s: float) -> None:
        """The step was run for the frame of this time. Any step's answer may show that another's spell is over."""
        if step in self._open:
            self._open[step].answered = True
        for failing, spell in list(self._open.items()):
            if spell.answered and at_s - spell.failed_s >= CALM_S:
                del self._open[failing]
                log.info("camera %s: %s", camera, _GOOD[failing], extra={"camera": camera})
