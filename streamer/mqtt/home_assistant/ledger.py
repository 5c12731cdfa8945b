"""All that Home Assistant was ever told there is: a file in the data folder, written before it is told.

What is there no more stays listed, without a name, as a tombstone: Home Assistant keeps what was removed while it was
off until it is told again. Written whole or not at all, for its owner alone; reading and writing block.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from recognition.whole_file import replacing
from streamer.mqtt.home_assistant.devices import Device
from streamer.mqtt.home_assistant.errors import (
    DiscoveryListError,
    DiscoveryListTooNew,
    DiscoveryListUnreadable,
    DiscoveryListUnwritable,
)

log = logging.getLogger(__name__)

# A copy of Home Assistant that is as old as this may be put back, and knows again who was removed.
KEEP_S = 400 * 86_400.0
MOST_TOMBSTONES = 5_000
LARGEST_BYTES = 64 << 20
_WORD = re.compile(r"[a-z_]{1,32}")
_LONGEST_KEY, _LONGEST_TOPIC = 300, 600
_Word = Annotated[str, StringConstraints(pattern=rf"^{_WORD.pattern}$")]


class _Component(BaseModel):
    platform: _Word
    removed_at: float | None = None


class _Row(BaseModel):
    """replayed: at how many births of Home Assistant it was told again what is removed."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_KEY)]
    topic: Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST_TOPIC)]
    components: dict[_Word, _Component]
    replayed: int = Field(default=0, ge=0)


class _Document(BaseModel):
    version: Literal[1]
    devices: list[_Row]


@dataclass(slots=True)
class Row:
    """One device. components: platform by key, of those that are told of; removed: of others, with when (Unix s). Both
    are replaced, never changed: a copy may be on its way to the disk."""

    key: str
    topic: str
    components: dict[str, str] = field(default_factory=dict)
    removed: dict[str, tuple[str, float]] = field(default_factory=dict)
    replayed: int = 0

    @property
    def is_gone(self) -> bool:
        return not self.components

    @property
    def removed_platforms(self) -> dict[str, str]:
        return {name: platform for name, (platform, _) in self.removed.items()}

    @property
    def removed_at(self) -> float:
        return max((at for _, at in self.removed.values()), default=0.0)


class Ledger:
    """Rows by topic. All but read() and write() are memory alone; `is_dirty`: there is something to write, and whoever
    does says that it is done."""

    def __init__(self, path: Path | None, rows: Iterable[Row] = (), now: Callable[[], float] = time.time) -> None:
        """path: None keeps it in memory alone."""
        self._path = path
        self._now = now
        self.rows: dict[str, Row] = {row.topic: row for row in rows}
        self.is_dirty = False
        self.was_damaged = False

    @classmethod
    def read(cls, path: Path, *, repair: bool = True) -> "Ledger":
        """Empty where there is no file; one that is damaged is set aside, and it is said, or refused without `repair`.

        Raises DiscoveryListTooNew, DiscoveryListUnreadable.
        """
        try:
            with path.open("rb") as file:
                text = file.read(LARGEST_BYTES + 1)
        except FileNotFoundError:
            return cls(path)
        except OSError as error:
            raise DiscoveryListUnreadable(
                f"{path} can't be read ({error.strerror}): Home Assistant is told of nothing; give this user the files "
                "in paths.data"
            ) from None
        try:
            document = _Document.model_validate_json(text)
        except ValidationError:
            document = None
        if document is not None:
            return cls(path, map(_row, document.devices))
        _refuse_newer(path, text)
        if not repair:
            raise DiscoveryListUnreadable(f"{path} is damaged; the service sets it aside when it starts")
        told = (
            "%s is damaged: kept as %s; what Home Assistant is to forget is made anew from the gallery's list of the "
            "forgotten; a camera that was removed earlier may stay in it: delete it there"
        )
        log.error(told, path, _set_aside(path).name, extra={"code": DiscoveryListUnreadable.code})
        ledger = cls(path)
        ledger.was_damaged = True
        return ledger

    def snapshot(self) -> list[Row]:
        """What is to be written, as it is now; quick, while write() blocks."""
        return [Row(row.key, row.topic, row.components, row.removed, row.replayed) for row in self.rows.values()]

    def write(self, rows: Iterable[Row]) -> None:
        """Raises DiscoveryListUnwritable: then nothing is known to be written. Any thread, one at a time."""
        if self._path is None:
            return
        text = orjson.dumps({"version": 1, "devices": [_written(row) for row in rows]}) + b"\n"
        try:
            with replacing(self._path) as file:
                file.write(text)
        except OSError as error:
            raise DiscoveryListUnwritable(
                f"{self._path} can't be written ({error.strerror}): Home Assistant is told of nothing new; make room, "
                "or make paths.data writable"
            ) from None

    @property
    def tombstones(self) -> list[Row]:
        """Rows of which something is removed, the newest first."""
        found = [row for row in self.rows.values() if row.removed]
        return sorted(found, key=lambda row: -row.removed_at)

    def want(self, devices: Mapping[str, Device]) -> None:
        """These, by topic, are what there is now: whatever else was told of is removed."""
        at = round(self._now(), 3)
        for topic, device in devices.items():
            wanted = {name: str(component["p"]) for name, component in device.components.items()}
            row = self.rows.get(topic)
            if row is None:
                row = self.rows[topic] = Row(device.key, topic)
            if row.components != wanted:
                gone = {name: (platform, at) for name, platform in row.components.items() if name not in wanted}
                row.removed = {name: one for name, one in (row.removed | gone).items() if name not in wanted}
                row.components, row.replayed, self.is_dirty = wanted, 0, True
        for topic, row in self.rows.items():
            if topic not in devices and row.components:
                row.removed = row.removed | {name: (platform, at) for name, platform in row.components.items()}
                row.components, row.replayed, self.is_dirty = {}, 0, True

    def remove(self, key: str, topic: str, components: Mapping[str, str]) -> None:
        """A device that may have been told of, and is not to be there; one that is listed stays as it is.

        What stands there may be anybody's: what the file could not hold is left out.
        """
        if topic in self.rows or len(key) > _LONGEST_KEY or len(topic) > _LONGEST_TOPIC:
            return
        at = round(self._now(), 3)
        fit = {
            name: (platform, at)
            for name, platform in components.items()
            if _WORD.fullmatch(name) and _WORD.fullmatch(platform)
        }
        self.rows[topic] = Row(key, topic, removed=fit)
        self.is_dirty = True

    def replayed(self, topics: Iterable[str]) -> None:
        """At a birth these were told again. What has had its time goes."""
        for topic in topics:
            if (row := self.rows.get(topic)) is not None:
                row.replayed += 1
                self.is_dirty = True
        before = self._now() - KEEP_S
        for number, row in enumerate(self.tombstones):
            if row.replayed and (row.removed_at < before or number >= MOST_TOMBSTONES):
                row.removed, self.is_dirty = {}, True
                if row.is_gone:
                    del self.rows[row.topic]


def read_ledger(path: Path, *, repair: bool = True) -> Ledger | DiscoveryListError:
    """The list, or why it can't be used."""
    try:
        return Ledger.read(path, repair=repair)
    except DiscoveryListError as error:
        return error


def told_devices(path: Path, names: Collection[str]) -> list[str]:
    """The topics on which Home Assistant was told of these people. None where that can't be read."""
    try:
        rows = _Document.model_validate_json(path.read_bytes()).devices
    except (OSError, ValidationError):
        return []
    return [row.topic for row in rows if row.key.rpartition("_")[2] in names]


def _row(found: _Row) -> Row:
    told = {name: one.platform for name, one in found.components.items() if one.removed_at is None}
    gone = {
        name: (one.platform, one.removed_at) for name, one in found.components.items() if one.removed_at is not None
    }
    return Row(found.key, found.topic, told, gone, found.replayed)


def _written(row: Row) -> dict[str, object]:
    components: dict[str, object] = {name: {"platform": platform} for name, platform in row.components.items()}
    components |= {name: {"platform": platform, "removed_at": at} for name, (platform, at) in row.removed.items()}
    return {"key": row.key, "topic": row.topic, "components": components, "replayed": row.replayed}


def _refuse_newer(path: Path, text: bytes) -> None:
    try:
        document = json.loads(text)
    except ValueError:
        return
    version = document.get("version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > 1:
        raise DiscoveryListTooNew(
            f"{path} was written by a newer whosthere (version {version}, known here: 1): Home Assistant is told of "
            "nothing; update whosthere, or move the file away"
        )


def _set_aside(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    try:
        path.rename(aside)
    except OSError as error:
        raise DiscoveryListUnreadable(
            f"{path} is damaged and can't be renamed ({error.strerror}): Home Assistant is told of nothing; delete it"
        ) from None
    return aside
