"""On aarch64 (Raspberry Pi, Jetson) every wheel loads, and the default models answer as here: run by qemu-user."""

import json
import os
import subprocess
import sys
import tomllib
from functools import cache

import numpy as np
import pytest

from tests.conftest import PROJECT

ROOT = PROJECT / ".arm64"
PROCESSORS = ("cortex-a57", "cortex-a76", "max")  # of scripts/make-arm64-root.sh, which says what each is there for

pytestmark = [
    pytest.mark.emulated,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not (ROOT / "made-with").is_file(), reason="needs .arm64; make test-arm64 makes it"),
]

# Takes names of distributions, imports all that these hold, and tells their versions.
IMPORTS = """
import importlib, json, platform, re, sys
from importlib.metadata import packages_distributions, version

wanted, told = set(sys.argv[1:]), {"machine": platform.machine(), "python": platform.python_version()}
for module, distributions in packages_distributions().items():
    for name in wanted & {re.sub("[-_.]+", "-", name).lower() for name in distributions}:
        if module.isidentifier():
            importlib.import_module(module)
            told[name] = version(name)
print(json.dumps(told))
"""


def python_of(processor: str) -> str:
    return str(ROOT / processor / "usr" / "bin" / "python")


def run(*command: str, code: int = 0) -> str:
    """What the command prints on stdout, once it has ended with that code. The settings of this run aren't for it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WHOSTHERE_"))}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, f"exit code {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


@cache
def answers(python: str) -> dict[str, list]:
    return json.loads(run(python, "-m", "tests.emulated.answers"))


@pytest.mark.parametrize("processor", PROCESSORS)
def test_default_models_answer_as_here(processor: str, record_testsuite_property):
    here, there = answers(sys.executable), answers(python_of(processor))
    assert len(here["boxes"]) == len(there["boxes"]) == 1
    apart = {key: float(np.abs(np.subtract(here[key], there[key])).max()) for key in ("boxes", "scores", "landmarks")}
    embeddings = np.array([here["embedding"], there["embedding"]])
    cosine = np.dot(*embeddings) / np.linalg.norm(embeddings, axis=1).prod()
    record_testsuite_property(processor, f"cosine {cosine:.7f}; largest differences {apart}")
    assert apart["boxes"] < 1
    assert apart["scores"] < 0.02
    assert apart["landmarks"] < 1
    assert cosine > 0.999
    assert there["forms"] == here["forms"]


def test_every_wheel_loads(record_testsuite_property):
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    required = project["dependencies"] + project["optional-dependencies"]["cpu"]
    names = {line.split(">")[0].strip() for line in required}
    told = json.loads(run(python_of("cortex-a76"), "-c", IMPORTS, *names))
    record_testsuite_property("versions", json.dumps(told))
    assert told.pop("machine") == "aarch64"
    assert set(told) == names | {"python"}


def test_service_starts(tmp_path, free_port):
    """All that `whosthere check` looks at is well, but for the broker, which isn't there."""
    options = (f"paths.data={tmp_path}", f"mqtt.port={free_port}")
    said = run(
        *(python_of("cortex-a76"), "-m", "streamer", "check", "--json"),
        *(part for option in options for part in ("--set", option)),
        code=1,
    )
    found = {row["part"]: row["code"] for row in json.loads(said)["checks"]}
    assert found == {"config": None, "processor": None, "models": None, "gallery": None, "broker": "broker_unreachable"}
