"""Spec files: found, read, looked up, and their JSON Schema. Blocks for disk; any thread.

python -m recognition.specs.files > model/specs/schema.json
"""

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from recognition.architectures import ALIASES
from recognition.errors import ModelNotFound, SpecInvalid
from recognition.near_names import did_you_mean
from recognition.specs.spec import AnySpec, DetectorSpec, EmbedderSpec, ModelSpec, complaint

_ADAPTER: TypeAdapter[DetectorSpec | EmbedderSpec] = TypeAdapter(AnySpec)
SEE_MODELS = "see whosthere models list"


def bundled(part: Literal["specs", "spaces", "packs", "faces", "nano", "impostors"]) -> Path:
    """Where a part of model/ lies: in a checkout there, else inside the installed package. `nano`: our own weights."""
    checkout = Path(__file__).resolve().parents[2] / "model" / part
    if checkout.is_dir():
        return checkout
    return Path(str(resources.files("recognition"))) / "bundled" / "model" / part


def load_specs(folder: Path | None = None, *, beside: Sequence[Path] = ()) -> dict[str, DetectorSpec | EmbedderSpec]:
    """Every spec under <folder>/<role>/<name>.yaml by name; `folder` None: the bundled ones.

    `beside`: weights folders, whose specs/ hold what `models import`, `pull` and `convert` wrote. None of them may
    take a name that is known already for other weights; one whose digest was not known is known by theirs. Raises
    SpecInvalid naming file, line and key.
    """
    folder = bundled("specs") if folder is None else folder
    specs = {spec.name: spec for spec in map(read_spec, sorted(folder.glob("*/*.yaml")))}
    for file in (file for weights in beside for file in sorted((weights / "specs").glob("*/*.yaml"))):
        spec = read_spec(file)
        there = specs.setdefault(spec.name, spec)
        if there.weights_digest is None and there.role == spec.role:
            specs[spec.name] = spec
        elif there.weights_digest != spec.weights_digest:
            raise SpecInvalid(f"spec {file}: name: {spec.name} is known already for other weights; delete this file")
    return specs


def read_spec(file: Path) -> DetectorSpec | EmbedderSpec:
    """One spec file -> its spec. The file's stem and folder must say the same name and role."""
    try:
        text = file.read_text(encoding="utf-8")
        tree = yaml.safe_load(text)
    except OSError as error:
        raise SpecInvalid(f"spec {file} can't be read ({error.strerror}); check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        raise SpecInvalid(f"spec {file}{f' line {mark.line + 1}' if mark else ''}: no YAML; mend it") from None
    if not isinstance(tree, dict):
        raise SpecInvalid(f"spec {file}: holds no keys and values; mend it")
    try:
        spec = _ADAPTER.validate_python(tree)
    except ValidationError as error:
        where, said = complaint(error)
        raise SpecInvalid(f"spec {file} line {_line_of(text, where)}: {said}") from None
    for key, said, is_so in (("name", spec.name, file.stem), ("role", spec.role, file.parent.name)):
        if said != is_so:
            line = _line_of(text, (key,))
            raise SpecInvalid(
                f"spec {file} line {line}: {key}: says {said}, but its path says {is_so}; make them agree"
            )
    return spec


def find_spec(
    name: str, specs: Mapping[str, DetectorSpec | EmbedderSpec], wanted: type[ModelSpec] = ModelSpec
) -> DetectorSpec | EmbedderSpec:
    """The spec of this name or alias (`adaface`: its largest).

    Raises ModelNotFound, which names the nearest one of the `wanted` role.
    """
    name = name if name in specs else ALIASES.get(name, name)
    if name in specs:
        return specs[name]
    fitting = [other for other, spec in specs.items() if isinstance(spec, wanted)]
    hint = did_you_mean(name, fitting, SEE_MODELS if specs else "there is no spec at all")
    raise ModelNotFound(f"model {name}: there is no spec of this name{hint}")


def schema() -> dict[str, Any]:
    """The JSON Schema of a spec's file; model/specs/schema.json is this."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_ADAPTER.json_schema()}


def _line_of(text: str, where: Sequence[int | str]) -> int:
    """The line, from 1 on, of what is at this place in a YAML text, or of the last part of the way that is there."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = node.start_mark.line if node else 0
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return line + 1


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
