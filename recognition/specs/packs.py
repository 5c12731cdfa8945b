"""Packs: one YAML file per pair of models that belong together, model/packs/<name>.yaml -> a frozen Pack.

Blocks for a few small file reads.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from recognition.errors import ModelNotFound, SpecInvalid
from recognition.near_names import did_you_mean
from recognition.specs.files import SEE_MODELS, bundled
from recognition.specs.spec import DetectorSpec, EmbedderSpec, SpecName


class Pack(BaseModel):
    """A detector and an embedder, by the names of their specs. `licence` is what is to be said of both together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: SpecName
    detector: SpecName
    embedder: SpecName
    licence: str = ""


def load_packs(folder: Path | None = None) -> dict[str, Pack]:
    """Every pack under <folder>/<name>.yaml by name. Raises SpecInvalid naming file and key."""
    folder = bundled("packs") if folder is None else folder
    return {pack.name: pack for pack in map(read_pack, sorted(folder.glob("*.yaml")))}


def read_pack(file: Path) -> Pack:
    """One pack file -> its pack. The file's stem must say the same name."""
    try:
        pack = Pack.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise SpecInvalid(f"pack {file} can't be read ({error.strerror}); check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise SpecInvalid(f"pack {file}: no YAML; mend it") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SpecInvalid(f"pack {file}: {where}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None
    if pack.name != file.stem:
        raise SpecInvalid(f"pack {file}: name: says {pack.name}, but its path says {file.stem}; make them agree")
    return pack


def resolve(
    name: str, specs: Mapping[str, DetectorSpec | EmbedderSpec], packs: Mapping[str, Pack], detector: str
) -> Pack:
    """A pack's name -> that pack; an embedder's -> it together with `detector`. Specs of both are sure to exist.

    Raises ModelNotFound, which says what there is.
    """
    pack = packs.get(name)
    if pack is None and isinstance(specs.get(name), EmbedderSpec):
        pack = Pack(name=name, detector=detector, embedder=name)
    if pack is None and name in specs:
        raise ModelNotFound(
            f"model {name}: is a detector, which knows nobody alone; name a pack or an embedder, or give --against, a "
            "detector to measure it beside"
        )
    if pack is None:
        hint = did_you_mean(name, [*packs, *specs], SEE_MODELS)
        raise ModelNotFound(f"model {name}: there is no pack and no spec of this name{hint}")
    for role, model in (("detector", pack.detector), ("embedder", pack.embedder)):
        spec = specs.get(model)
        if spec is None or spec.kind != role:
            what = (
                "there is no spec of this name"
                if spec is None
                else f"is {'an' if spec.kind == 'embedder' else 'a'} {spec.kind}, no {role}"
            )
            others = ", ".join(sorted(other.name for other in specs.values() if other.kind == role))
            raise ModelNotFound(f"model {model} ({role} of {name}): {what}; known are {others}")
    return pack
