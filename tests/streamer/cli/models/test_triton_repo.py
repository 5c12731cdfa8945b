"""`models triton-repo` as it is typed: which models, what it tells, what it refuses."""

import pytest
import yaml
from typer.testing import CliRunner

from recognition.errors import CodedError
from streamer.commands import app
from streamer.settings_reading import load
from tests.command import assert_refused, patched, whosthere

pytest.importorskip("tritonclient.grpc", reason="needs Triton's client: pip install -e '.[triton]'")


def test_the_configured_models_are_written_and_the_configuration_that_uses_them_loads(tmp_path):
    profile = {"triton": {"model": "faces", "version": "3"}}
    (tmp_path / "whosthere.yaml").write_text(yaml.safe_dump({"recognition": {"profiles": {"nano_embed": profile}}}))
    ended = whosthere("models", "triton-repo", "--out", "served", "--json", cwd=tmp_path)

    assert ended.code == 0, ended.err
    told = ended.document
    assert [(row["name"], row["model"], row["version"]) for row in told["models"]] == [
        ("nano_det", "nano_det", "2"),
        ("nano_embed", "faces", "3"),
    ]
    assert all((tmp_path / row["file"]).stat().st_size == row["bytes"] for row in told["models"])
    (tmp_path / "whosthere.yaml").write_text(yaml.safe_dump(told["configuration"]))
    section = load(tmp_path / "whosthere.yaml", environ={}).recognition
    assert section.triton.url == "127.0.0.1:8001"
    assert {name: profile.runtime for name, profile in section.profiles.items()} == {
        "nano_det": "triton",
        "nano_embed": "triton",
    }


def refused(*typed):
    """Why it was refused, in this process: one of its own takes two seconds of CPU."""
    with pytest.raises(CodedError) as caught:
        app(["models", "triton-repo", *typed], standalone_mode=False)
    return caught.value


def test_what_people_read_can_be_pasted(tmp_path, monkeypatch):
    ended = whosthere("models", "triton-repo", "nano_det", cwd=tmp_path)

    assert ended.code == 0, ended.err
    _, pasted = ended.out.split("address:\n")
    (tmp_path / "whosthere.yaml").write_text(pasted)
    assert load(tmp_path / "whosthere.yaml", environ={}).recognition.profiles["nano_det"].triton.version == "2"
    monkeypatch.chdir(tmp_path)
    again = refused("nano_det")
    assert (again.code, "triton-models is there already; remove it" in str(again)) == ("repository_exists", True)


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("nano_embd", "model_not_found", "did you mean nano_embed"),
        ("--models edgeface_xxs", "weights_missing", "not found in"),
    ],
)
def test_models_that_can_t_be_had(tmp_path, monkeypatch, typed, code, says):
    monkeypatch.chdir(tmp_path)
    why = refused(*typed.split())
    assert (why.code, says in str(why)) == (code, True)
    assert not (tmp_path / "triton-models").exists()


@pytest.mark.parametrize("typed", ["--device gpu0", "--device cpu --plans plans"])
def test_devices_that_are_none(typed):
    ended = CliRunner().invoke(app, ["models", "triton-repo", *typed.split()])
    assert ended.exit_code == 2
    assert "want auto, cpu, cuda or cuda:N" in ended.output


def test_without_triton_s_client_it_says_what_to_install(tmp_path):
    ended = patched("import sys; sys.modules['tritonclient'] = None", "models", "triton-repo", "nano", cwd=tmp_path)
    assert "pip install 'whosthere[triton]'" in assert_refused(ended, "unsupported_runtime")
    assert list(tmp_path.iterdir()) == []
