"""What was answered so far: the configuration as it would be, with what was typed, and what was seen on the way."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer.ingest.address import redacted_url
from streamer.settings_layers import Tree


@dataclass(slots=True)
class Draft:
    """`tree` has the secrets that were typed; nothing is written. `asks`: whether there is somebody to ask.

    `unchecked`: what does not answer is taken all the same. seen: what --json tells of cameras and the broker.
    """

    file: Path
    tree: Tree
    is_new: bool
    asks: bool
    unchecked: bool
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def cameras(self) -> dict[str, Any]:
        return self._section("cameras")

    @property
    def mqtt(self) -> dict[str, Any]:
        return self._section("mqtt")

    def _section(self, name: str) -> dict[str, Any]:
        """As a mapping, whatever stood there: what is none is refused before anything is written."""
        if not isinstance(self.tree.get(name), dict):
            self.tree[name] = {}
        section: dict[str, Any] = self.tree[name]
        return section

    def shown(self, camera: str) -> str:
        """Its URL without a secret."""
        known = self.cameras[camera]
        return redacted_url(str(known.get("url", ""))) if isinstance(known, dict) else ""
