"""What is done without for a while: models, or models on one device, that failed. Pure: time comes as an argument."""

from recognition.selection.candidates import Unavailable


class Cooldowns:
    """Each lasts until its time is over, or forget()."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str | None], tuple[float, Unavailable]] = {}

    def add(self, until_s: float, model: str, why: Unavailable, device: str | None = None) -> None:
        """Do without it (`device` None: anywhere) until then."""
        self._found[(model, device)] = (until_s, why)

    def against(self, now_s: float, model: str, device: str | None = None) -> Unavailable | None:
        """Why it is held back there; `device` None: why anywhere."""
        until_s, why = self._found.get((model, device), (now_s, None))
        return why if now_s < until_s else None

    def forget(self, model: str) -> None:
        """Whatever it was, it may be tried again."""
        self._found = {key: found for key, found in self._found.items() if key[0] != model}
