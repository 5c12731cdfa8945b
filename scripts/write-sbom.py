"""A release's SBOM (CycloneDX 1.6): what an environment with its wheel holds, without where this machine had it from.

    scripts/write-sbom.py ENVIRONMENT.json VERSION WEIGHTS_FOLDER OUT.json

What whosthere doesn't need (pip) is left out, the weights that come with it are added. Held to the schema.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

ROOT = "root-component"
NAME = "whosthere"
# Every environment's own; only tests of what is needed need them.
BESIDE = ("pip", "setuptools")


def needed(dependencies: dict[str, list[str]], root: str) -> set[str]:
    """Whatever is reached from there."""
    found, waiting = {root}, [root]
    while waiting:
        new = set(dependencies.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def without_places(component: dict[str, Any]) -> dict[str, Any]:
    """Where a package was downloaded, or lay on this disk, is nobody's concern."""
    kept = [one for one in component.get("externalReferences", []) if one["type"] != "distribution"]
    rest = {key: value for key, value in component.items() if key != "externalReferences"}
    return rest | ({"externalReferences": kept} if kept else {})


def weights(folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "type": "machine-learning-model",
            "bom-ref": f"weights-{file.stem}",
            "name": file.stem,
            "description": f"{file.name}, in the wheel",
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}],
            "licenses": [{"license": {"id": "Apache-2.0", "acknowledgement": "declared"}}],
        }
        for file in sorted(folder.glob("*.onnx"))
    ]


def sbom(found: dict[str, Any], version: str, models: list[dict[str, Any]]) -> dict[str, Any]:
    dependencies = {one["ref"]: one.get("dependsOn", []) for one in found["dependencies"]}
    beside = {one["bom-ref"] for one in found["components"] if one["name"] in BESIDE}
    dependencies = {ref: [on for on in refs if on not in beside] for ref, refs in dependencies.items()}
    reached = needed(dependencies, ROOT) - {ROOT}
    root = found["metadata"]["component"] | {"version": version, "purl": f"pkg:pypi/{NAME}@{version}"}
    tools = found["metadata"]["tools"]["components"]
    metadata = found["metadata"] | {"component": root, "tools": {"components": [without_places(one) for one in tools]}}
    on_root = sorted([*dependencies[ROOT], *(one["bom-ref"] for one in models)])
    return found | {
        "metadata": metadata,
        "components": [without_places(one) for one in found["components"] if one["bom-ref"] in reached] + models,
        "dependencies": [
            {"ref": ROOT, "dependsOn": on_root},
            *({"ref": ref, "dependsOn": dependencies[ref]} for ref in sorted(reached) if dependencies.get(ref)),
            *({"ref": ref} for ref in sorted(reached) if not dependencies.get(ref)),
            *({"ref": one["bom-ref"]} for one in models),
        ],
    }


def main() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    environment, version, folder, to = sys.argv[1:]
    document = sbom(json.loads(Path(environment).read_text()), version, weights(Path(folder)))
    text, out = json.dumps(document, indent=2, ensure_ascii=False) + "\n", Path(to)
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"write-sbom: {out.name} is no CycloneDX: {fault}")
    out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
