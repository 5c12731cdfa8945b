"""What is done without for a while: models, or models on one device, that failed or had to be left.

Pure: time comes as an argument.
"""

from dataclasses import dataclass

from recognition.reason import Reason


@dataclass(frozen=True, slots=True)
class Cooldown(Reason):
    """It lasts until `until_s`, `hold_s` in all, and is of batches of `bucket` and larger ones."""

    until_s: float
    hold_s: float
    bucket: int


class Cooldowns:
    """Each lasts until its time is over, or forget()."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str | None], Cooldown] = {}

    def add(
        self,
        now_s: float,
        hold_s: float,
        model: str,
        why: Reason,
        device: str | None = None,
        *,
        bucket: int = 1,
        longest_s: float | None = None,
    ) -> None:
        """Do without it (`device` None: anywhere) for so long.

        `longest_s`: for twice as long as the last time, up to this, where the last time was over for less than twice
        as long as it had been; where it is not over yet, for as long as that again, and of its batches, too.
        """
        last = self._found.get((model, device)) if longest_s is not None else None
        if last is not None and now_s < last.until_s:
            hold_s, bucket = last.hold_s, min(bucket, last.bucket)
        elif last is not None and longest_s is not None and now_s < last.until_s + 2 * last.hold_s:
            hold_s = max(hold_s, min(2 * last.hold_s, longest_s))
        self._found[(model, device)] = Cooldown(why.code, why.why, now_s + hold_s, hold_s, bucket)

    def against(self, now_s: float, model: str, device: str | None = None) -> Cooldown | None:
        """Why it is held back there; `device` None: why anywhere."""
        found = self._found.get((model, device))
        return found if found is not None and now_s < found.until_s else None

    def forget(self, model: str) -> None:
        """Whatever it was, it may be tried again."""
        self._found = {key: found for key, found in self._found.items() if key[0] != model}
