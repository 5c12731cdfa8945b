"""What is wrong, with the commands that mend it, and all that was found. Plain data."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["fault", "warning", "hint"]
SEVERITIES: tuple[Severity, ...] = ("fault", "warning", "hint")


@dataclass(frozen=True, slots=True)
class Trouble:
    """`fault`: it does not work; `warning`: it will not for long, or not as it should; `hint`: good to know, no more.

    `part`: where. `mend`: lines for a shell; words in capitals are for the reader to fill in.
    """

    severity: Severity
    part: str
    code: str
    detail: str
    mend: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """`looked_at`: parts, each named once; `unseen`: what nobody could look at, and why; `service`: a line about it."""

    troubles: tuple[Trouble, ...]
    looked_at: tuple[str, ...]
    unseen: tuple[str, ...]
    service: str

    def of(self, severity: Severity) -> list[Trouble]:
        return [one for one in self.troubles if one.severity == severity]
