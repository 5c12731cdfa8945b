"""OnceLog: a thing is said once, and again when it is another one, so that what goes on failing fills no log."""

import logging
from collections.abc import Hashable

from recognition.errors import CodedError


class OnceLog:
    """What was said of each key last, on the logger of whoever says it."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: dict[Hashable, Hashable] = {}

    def say(
        self, key: Hashable, what: Hashable, level: int, message: str, *args: object, code: str | None = None
    ) -> None:
        """Log the message, unless `what` is what was said of `key` last."""
        if self._said.get(key) == what and key in self._said:
            return
        self._said[key] = what
        self._log.log(level, message, *args, extra={} if code is None else {"code": code})

    def warn(self, key: Hashable, error: CodedError, message: str = "%s") -> None:
        """Warn of the error, unless one of its code was told last; `message` has a %s for it."""
        self.say(key, error.code, logging.WARNING, message, error, code=error.code)

    def over(self, key: Hashable) -> None:
        """It is so no more: it will be said again."""
        self._said.pop(key, None)
