"""The catalogue of weights that can be pulled: model/specs/catalogue.yaml -> frozen, checked entries.

Blocks for one small file read. Reading it touches no network; recognition.zoo.download alone does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from recognition.errors import ModelNotFound, SpecInvalid
from recognition.near_names import did_you_mean
from recognition.specs.files import bundled
from recognition.specs.spec import SpecName

Family = Literal["scrfd", "yunet", "arcface"]
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pixels(_Entry):
    """What a family of networks eats: (x - mean) / std of pixels 0..255."""

    color_order: Literal["rgb", "bgr"]
    mean: float
    std: Annotated[float, Field(gt=0)]


class CatalogueEntry(_Entry):
    """One thing to fetch: a zip of networks, or one network. `size` in bytes, exact where `sha256` is pinned.

    `measured_as`: the spec of an embedder that is this one's copy, where somebody measured that.
    """

    name: SpecName
    what: str
    url: str
    size: Annotated[int, Field(gt=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    licence: str
    licence_url: str
    stated: str
    inputs: dict[Family, Pixels]
    measured_as: SpecName | None = None

    @model_validator(mode="after")
    def _fetched_safely(self) -> Self:
        address = urlsplit(self.url)
        plain = address.scheme == "http" and (self.sha256 is not None or address.hostname in LOOPBACK)
        if address.scheme != "https" and not plain:
            raise ValueError("url: want https (http only with a pinned sha256)")
        if not address.path.endswith((".zip", ".onnx")):
            raise ValueError("url: want a .zip or an .onnx file")
        return self

    @property
    def is_archive(self) -> bool:
        return urlsplit(self.url).path.endswith(".zip")

    @property
    def file(self) -> str:
        """The file's own name, as its makers call it."""
        return urlsplit(self.url).path.rpartition("/")[2]


_ENTRIES: TypeAdapter[dict[str, CatalogueEntry]] = TypeAdapter(dict[str, CatalogueEntry])


def load_catalogue(file: Path | None = None) -> dict[str, CatalogueEntry]:
    """Every entry by name; `file` None: the bundled catalogue. Raises SpecInvalid naming file and key."""
    file = bundled("specs") / "catalogue.yaml" if file is None else file
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecInvalid(f"catalogue {file} can't be read ({error.strerror}); check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise SpecInvalid(f"catalogue {file}: no YAML; mend it") from None
    entries = tree.get("entries") if isinstance(tree, dict) else None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise SpecInvalid(f"catalogue {file}: want `entries:`, with names below it")
    try:
        return _ENTRIES.validate_python({name: {**entry, "name": name} for name, entry in entries.items()})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SpecInvalid(f"catalogue {file}: {where}: {first['msg'].removeprefix('Value error, ')}") from None


def find_entry(name: str, entries: Mapping[str, CatalogueEntry]) -> CatalogueEntry:
    """The entry of this name. Raises ModelNotFound, which names the nearest one there is."""
    if name in entries:
        return entries[name]
    hint = did_you_mean(name, entries, "`whosthere models pull` lists what is")
    raise ModelNotFound(f"{name}: is not in the catalogue{hint}")
