"""What was pulled into a weights folder: pulled.yaml, one receipt a catalogue entry. Blocks for a small file.

The digest of a first download is recorded here, and later ones are held to it.
"""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from recognition.errors import SpecInvalid
from recognition.zoo.staging import staging

RECEIPTS = "pulled.yaml"
_HEAD = "# Written by `whosthere models pull`. A later download whose digest differs is refused.\n"


class Receipt(BaseModel):
    """One download that was taken in. `models`: the names of the specs whose weights came out of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    models: tuple[str, ...]


_RECEIPTS: TypeAdapter[dict[str, Receipt]] = TypeAdapter(dict[str, Receipt])


def read_receipts(folder: Path) -> dict[str, Receipt]:
    """The receipts by entry name; none where nothing was pulled. Raises SpecInvalid where the file is broken."""
    file = folder / RECEIPTS
    if not file.is_file():
        return {}
    try:
        return _RECEIPTS.validate_python(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except (OSError, yaml.YAMLError, UnicodeDecodeError, ValidationError):
        raise SpecInvalid(f"{file} can't be read as what `models pull` wrote; mend it, or delete it") from None


def write_receipt(folder: Path, name: str, receipt: Receipt) -> None:
    """Add or replace one receipt. Raises WeightsFolderUnwritable."""
    receipts = {**read_receipts(folder), name: receipt}
    tree = {key: value.model_dump(mode="json") for key, value in sorted(receipts.items())}
    with staging(folder) as stage:
        stage.write(RECEIPTS, (_HEAD + yaml.safe_dump(tree, sort_keys=False, width=1000)).encode())
        stage.commit()
