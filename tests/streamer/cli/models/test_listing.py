"""`models list`, `show` and `verify` as a user types them: every model, whether it can be had, what was measured."""

import fcntl
import hashlib
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import yaml

from recognition.runtimes.int8_forms import EXACT, saturates
from recognition.selection.measurements import BatchFigures, LocalMeasurements
from recognition.specs.files import bundled, load_specs
from recognition.specs.spec import EmbedderSpec
from tests.command import assert_refused, whosthere
from tests.conftest import PROJECT
from tests.ensembles import ensemble, tiny_model
from tests.int8_networks import int8_embedder

OURS = load_specs()
KEYS_OF_BEFORE = {"name", "role", "family", "weights", "licence"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a configuration and an empty weights folder."""
    configured(tmp_path)
    (tmp_path / "weights").mkdir()
    return tmp_path


def configured(home: Path, **recognition: object) -> None:
    config = {"paths": {"models": ["weights"]}, "recognition": {"device": "cpu", **recognition}}
    (home / "whosthere.yaml").write_text(yaml.safe_dump(config))


def on_a_terminal(*arguments: str, cwd: Path, columns: int) -> list[str]:
    """What a command shows on a terminal of this width, line by line, without colours."""
    above, below = pty.openpty()
    fcntl.ioctl(below, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WHOSTHERE_")}
    clean = {name: value for name, value in clean.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "streamer", *arguments],
        cwd=cwd,
        env=clean | {"PYTHONPATH": str(PROJECT), "TERM": "xterm"},
        stdin=below,
        stdout=below,
        stderr=below,
    )
    os.close(below)
    shown = b""
    while True:
        try:
            part = os.read(above, 65536)
        except OSError:  # nobody writes there any more
            break
        if not part:
            break
        shown += part
    os.close(above)
    assert process.wait(60) == 0, shown
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).splitlines()


def figures_of(spec: EmbedderSpec) -> list[str]:
    """What the table says of the spec's own figures."""
    ms, mib = min((round(need.run_ms / bucket, 3), need.memory_mib) for bucket, need in spec.needs.cpu.items())
    return [f"{ms:.2f}", f"{mib:.0f}", f"{spec.accuracy:.1%}"]


def test_every_model_is_listed_with_all_that_is_known_of_it(home):
    ended = whosthere("models", "list", "--json", cwd=home)
    assert (ended.code, ended.err) == (0, "")
    rows = {row["name"]: row for row in ended.document["models"]}
    assert list(rows) == sorted(OURS, key=lambda name: (OURS[name].role, name))
    assert all(row.keys() >= KEYS_OF_BEFORE for row in rows.values())
    nano, missing = rows["nano_embed"], rows["adaface_ir101"]
    assert nano["weights"] == str(bundled("nano") / "nano_embed.onnx")
    assert nano["availability"] == {"ok": True, "code": None, "why": None}
    assert (nano["engine"], nano["runtime"], nano["precision"], nano["device_policy"]) == (
        *("onnx", "inprocess", "int8", "auto"),
    )
    assert (nano["device"], nano["device_asked"], nano["space"]) == ("cpu", "cpu", "nano_embed.2")
    assert nano["weights_digest"] == OURS["nano_embed"].weights_digest
    assert nano["preprocessing_signature"] == OURS["nano_embed"].preprocessing_signature
    assert nano["accuracy"]["tmr"] == OURS["nano_embed"].accuracy
    needs = OURS["nano_embed"].needs.cpu
    assert {int(bucket): row["run_ms"] for bucket, row in nano["figures"]["cpu"].items()} == {
        bucket: need.run_ms for bucket, need in needs.items()
    }
    assert {row["run_ms_from"] for row in nano["figures"]["cpu"].values()} == {"spec"}
    assert nano["best"]["item_ms"] == min(round(need.run_ms / bucket, 3) for bucket, need in needs.items())
    assert missing["availability"]["ok"] is False
    assert missing["availability"]["code"] == "weights_missing"
    assert "models convert" in missing["availability"]["why"]
    assert (missing["weights"], missing["figures"], missing["best"]) == (None, {}, None)
    assert missing["accuracy"]["tmr"] is None


def test_what_was_measured_on_this_machine_goes_before_the_spec(home):
    spec = OURS["nano_embed"]
    figures = LocalMeasurements(home / "var" / "model-figures.json")
    figures.keep(spec, "cpu", {4: BatchFigures(77.4, 1.0)}, measured_at=1.0, command="a test")
    (row,) = (r for r in whosthere("models", "list", "--json", cwd=home).document["models"] if r["name"] == spec.name)
    four = row["figures"]["cpu"]["4"]
    assert (four["run_ms"], four["run_ms_from"], four["memory_mib"], four["memory_mib_from"]) == (
        *(1.0, "here", 77.4, "here"),
    )
    assert row["figures"]["cpu"]["8"]["run_ms_from"] == "spec"
    assert (row["best"]["bucket"], row["best"]["item_ms"]) == (4, 0.25)
    (line,) = (line for line in whosthere("models", "list", cwd=home).out.splitlines() if line.startswith(spec.name))
    assert line.split()[1:9] == ["arcface", "onnx", "int8", "yes", "cpu", "0.25*", "77*", figures_of(spec)[2]]


def test_the_form_of_an_int8_model_is_that_of_this_processor(home):
    weights, spec = int8_embedder(home), OURS["nano_embed"]
    (home / "weights" / "crude.onnx").write_bytes(weights)
    changes = {"name": "crude", "local_artifacts": ["crude.onnx"], "sample": None, "needs": None}
    changes |= {"weights_digest": hashlib.sha256(weights).hexdigest(), "space": "crude.1", "embedding_size": 64}
    crude = EmbedderSpec.model_validate({**spec.model_dump(mode="json"), **changes})
    (home / "weights/specs/face_embedding").mkdir(parents=True)
    (home / "weights/specs/face_embedding/crude.yaml").write_text(yaml.safe_dump(crude.model_dump(mode="json")))
    rows = {row["name"]: row for row in whosthere("models", "list", "--json", cwd=home).document["models"]}
    form = EXACT if saturates() else None
    assert (rows["crude"]["form"], rows["nano_embed"]["form"], rows["adaface_ir101"]["form"]) == (form, None, None)
    (line,) = (line for line in whosthere("models", "list", cwd=home).out.splitlines() if line.startswith("crude"))
    assert f"onnx {form or 'int8'} " in line
    assert whosthere("models", "show", "crude", "--json", cwd=home).document["form"] == form


def test_the_table_is_readable_at_100_columns(home):
    lines = on_a_terminal("models", "list", cwd=home, columns=100)
    assert max(len(line) for line in lines) <= 100
    rows = {line.split()[0]: line for line in lines if line and line.split()[0] in OURS}
    assert sorted(rows) == sorted(OURS)
    longest = max((spec for spec in OURS.values() if spec.role == "face_embedding"), key=lambda spec: len(spec.name))
    assert rows[longest.name].split()[1:9] == [
        *(longest.family, longest.engine, longest.precision, "weights_missing", "cpu"),
        *figures_of(longest),
    ]
    for name in (name for name, spec in OURS.items() if spec.needs is None and spec.role == "face_embedding"):
        assert rows[name].split()[6:8] == ["-", "-"]
    assert rows["nano_embed"].rstrip().endswith("…"), "licences are cut"
    wide = on_a_terminal("models", "list", cwd=home, columns=220)
    assert any(line.rstrip().endswith(OURS["nano_embed"].licence) for line in wide)


def test_on_a_narrow_terminal_nothing_but_the_licence_is_cut(home):
    for line in on_a_terminal("models", "list", cwd=home, columns=60):
        assert line.count("…") <= 1


def test_the_resolved_mapping(home):
    ended = whosthere("models", "list", "--resolved", "--json", cwd=home)
    assert sorted(ended.document) == ["models_used", "resolved", "signature"]
    assert ended.document["resolved"]["face_embedding"]["model"] == "nano_embed"
    shown = whosthere("models", "list", "--resolved", cwd=home).out
    assert ended.document["signature"] in shown
    assert "face_embedding: nano_embed on cpu" in shown
    configured(home, embedder="arcface_r100")
    assert_refused(whosthere("models", "list", "--resolved", cwd=home), "weights_missing")


def test_one_model_in_full(home):
    ended = whosthere("models", "show", "nano_embed", "--json", cwd=home)
    spec = OURS["nano_embed"].model_dump(mode="json")
    assert {key: ended.document[key] for key in spec} == spec
    assert ended.document["weights"] == str(bundled("nano") / "nano_embed.onnx")
    assert ended.document["availability"] == {"ok": True, "code": None, "why": None}
    assert ended.document["needs"]["cpu"]
    read = yaml.safe_load(whosthere("models", "show", "adaface", cwd=home).out)
    assert (read["name"], read["needs"], read["availability"]["code"]) == ("adaface_ir101", None, "weights_missing")


def test_a_profile_of_the_configuration_is_what_is_shown(home):
    triton = {"runtime": "triton", "triton": {"model": "nano", "version": "1"}}
    configured(home, profiles={"nano_embed": triton, "nano_det": {"device_policy": "cuda:1"}})
    rows = {row["name"]: row for row in whosthere("models", "list", "--json", cwd=home).document["models"]}
    assert (rows["nano_embed"]["runtime"], rows["nano_embed"]["device"]) == ("triton", "triton")
    assert (rows["nano_det"]["device_policy"], rows["nano_det"]["device"]) == ("cuda:1", "cuda:1")
    assert rows["nano_det"]["figures"] == {}, "nobody measured it there"


def test_those_configured_are_verified_with_the_ladder(home):
    weights = home / "weights"
    members = [tiny_model(weights, name, dim=64, seed=seed, threshold=0.5) for seed, name in enumerate(("one", "two"))]
    ensemble(weights, "both", members)
    profiles = {"nano_embed": {"runtime": "triton", "triton": {"model": "embed", "version": "3"}}}
    configured(home, embedder="both", ladder=["nano_embed", "arcface_r100"], profiles=profiles)
    ended = whosthere("models", "verify", "--json", cwd=home)
    assert "arcface_r100" in assert_refused(ended, "weights_missing")
    rows = {row["name"]: row for row in ended.document["models"]}
    assert list(rows) == ["nano_det", "both", "nano_embed", "arcface_r100"]
    assert [row["ok"] for row in rows.values()] == [True, True, True, False]
    assert rows["both"]["detail"] == ", ".join(
        f"{member.name} sha256 {member.short_digest}… as in the spec" for member in members
    )
    assert "Triton server's, embed version 3" in rows["nano_embed"]["detail"]
    (weights / "two.onnx").write_bytes(b"cut short")
    assert "two" in assert_refused(whosthere("models", "verify", "both", cwd=home), "weights_digest_mismatch")
