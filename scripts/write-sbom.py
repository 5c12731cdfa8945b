"""A release's SBOM (CycloneDX 1.6): what an environment with its wheel holds, without where this machine had it from.

    scripts/write-sbom.py ENVIRONMENT.json WEIGHTS_FOLDER OUT.json

Packages that whosthere doesn't need (pip) are left out, the weights that come with it are added. Held to the schema.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = "root-component"
NAME = "whosthere"


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


def sbom(found: dict[str, Any], models: list[dict[str, Any]]) -> dict[str, Any]:
    dependencies = {one["ref"]: one.get("dependsOn", []) for one in found["dependencies"]}
    (itself,) = (one for one in found["components"] if one["name"] == NAME)
    reached = needed(dependencies, itself["bom-ref"]) - {itself["bom-ref"]}
    root = found["metadata"]["component"] | {
        "version": itself["version"],
        "purl": f"pkg:pypi/{NAME}@{itself['version']}",
    }
    tools = found["metadata"]["tools"]["components"]
    metadata = found["metadata"] | {"component": root, "tools": {"components": [without_places(one) for one in tools]}}
    on_root = sorted([*dependencies[itself["bom-ref"]], *(one["bom-ref"] for one in models)])
    return found | {
        "metadata": metadata,
        "components": [without_places(one) for one in found["components"] if one["bom-ref"] in reached] + models,
        "dependencies": [
            {"ref": ROOT, "dependsOn": on_root},
            *(one for one in found["dependencies"] if one["ref"] in reached),
            *({"ref": one["bom-ref"]} for one in models),
        ],
    }


def main() -> None:
    environment, folder, out = map(Path, sys.argv[1:])
    text = json.dumps(sbom(json.loads(environment.read_text()), weights(folder)), indent=2, ensure_ascii=False) + "\n"
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"write-sbom: {out.name} is no CycloneDX: {fault}")
    out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
