"""What is ready and what is not, part by part and model by model: the data that /readyz shows. Nothing runs here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that the service needs: `models`, `broker`, `outbox`, `camera door`; why, if it is not ok."""

    name: str
    ok: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model of the configured set: whether it could serve now, whether it does and where; why not."""

    name: str
    role: str
    ready: bool
    serving: bool
    device: str | None = None
    code: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Every part of the service; ready when all are ok. A model that is missing makes nothing unready by itself."""

    parts: tuple[Part, ...]
    models: tuple[ModelState, ...] = ()

    @property
    def ready(self) -> bool:
        return all(part.ok for part in self.parts)
