"""The Dockerfile, as text: what docs/containers.md says of the images. What was built and run is told there."""

import re
import subprocess

import pytest

from streamer.settings_reading import load
from tests.conftest import PROJECT

TEXT = (PROJECT / "Dockerfile").read_text()
INSTRUCTION = re.compile(r"^([A-Z]+) (.*)$", re.DOTALL)


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions, with their arguments in one line, by the name of their stage; those before any: ''."""
    lines = (line for line in TEXT.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found: dict[str, list[tuple[str, str]]] = {"": []}
    for line in filter(None, joined.splitlines()):
        word, rest = INSTRUCTION.fullmatch(line).groups()
        if word == "FROM":
            found[rest.split(" AS ")[1]] = []
        list(found.values())[-1].append((word, rest))
    return found


def arguments(stage: str, word: str) -> list[str]:
    return [rest for one, rest in stages()[stage] if one == word]


def test_cpu_is_the_default_and_each_base_has_a_version():
    assert list(stages())[-1] == "cpu"
    bases = dict(argument.split("=", 1) for argument in arguments("", "ARG"))
    assert bases.keys() == {"PYTHON_IMAGE", "CUDA_IMAGE"}
    assert all(re.search(r":\d+\.\d+\.\d+-", image) for image in bases.values()), bases
    assert {rest.split(" AS ")[0] for stage in stages().values() for word, rest in stage if word == "FROM"} == {
        "${PYTHON_IMAGE}",
        "${CUDA_IMAGE}",
    }


@pytest.mark.parametrize(("target", "extra"), [("cpu", "cpu"), ("cuda", "gpu")])
def test_an_image_is_for_its_device_and_runs_as_nobody_in_particular(target, extra):
    assert f"[{extra},webrtc,triton]" in " ".join(arguments(f"build-{target}", "RUN"))
    assert arguments(target, "USER") == ["10001:10001"]
    assert arguments(target, "VOLUME") == ['["/data", "/keys"]']
    assert arguments(target, "COPY") == [f"--from=build-{target} /opt/whosthere /opt/whosthere"], "no source, no pip"
    (health,) = arguments(target, "HEALTHCHECK")
    assert "streamer.api.alive" in health
    labels = " ".join(arguments(target, "LABEL"))
    assert all(f"org.opencontainers.image.{key}=" in labels for key in ("title", "description", "licenses"))
    assert not re.search(r"(?i)password|secret|token", TEXT)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_settings_of_an_image_are_ours(target):
    (words,) = arguments(target, "ENV")
    environ = dict(re.findall(r"(\w+)=('[^']*'|\S+)", words))
    settings = load(None, environ={name: value.strip("'") for name, value in environ.items()})

    assert (str(settings.paths.data), str(settings.paths.keys)) == ("/data", "/keys")
    assert [str(folder) for folder in settings.paths.models] == ["/models"]
    assert settings.http.host == "127.0.0.1", "open to nobody until it is told otherwise"


def test_what_is_copied_is_not_ignored():
    """And whatever else git has is: no test, no document, no data."""
    kept = [line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    files = subprocess.run(["git", "ls-files"], cwd=PROJECT, check=True, capture_output=True, text=True).stdout.split()
    within = {path for path in files if any(path == entry or path.startswith(f"{entry}/") for entry in kept)}
    copied = {
        source for stage in ("wheel", "build-cpu") for rest in arguments(stage, "COPY") for source in rest.split()[:-1]
    }
    assert {source for source in copied if source.startswith("scripts/")} <= within
    assert all(any(path == entry or path.startswith(f"{entry}/") for path in files) for entry in kept), "all are there"
    assert not any(path.startswith(("tests/", "docs/", "findings/", "model/artifacts/")) for path in within)
    wheel = (PROJECT / "pyproject.toml").read_text().split("force-include]")[1].split("[tool")[0]
    assert set(re.findall(r'^"([\w/]+)" =', wheel, re.MULTILINE)) <= set(kept)
