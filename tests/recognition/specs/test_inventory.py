"""docs/model-inventory.md says what the specs say."""

import pytest

from recognition.specs.files import load_specs
from recognition.specs.inventory import COMMAND, inventory
from recognition.specs.spec import BatchNeeds, Needs
from tests.conftest import PROJECT

OURS = load_specs()


def rows_of(page: str, name: str) -> list[list[str]]:
    """The rows of a model, of all tables, without its name."""
    lines = (line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    return [[cell.strip() for cell in line.strip("|").split(" | ")][1:] for line in lines]


def test_the_page_is_what_the_specs_make_of_it():
    page = (PROJECT / "docs" / "model-inventory.md").read_text(encoding="utf-8")
    assert page == inventory(OURS.values()), f"write it anew: {COMMAND}"


def test_every_spec_is_told_of_with_what_identifies_it():
    page = inventory(OURS.values())
    for name, spec in OURS.items():
        first = rows_of(page, name)[0]
        assert spec.licence in first
        assert spec.source in first
        assert first[-1] == (f"`{spec.weights_digest}`" if spec.weights_digest else "not known")


def test_what_nobody_measured_is_called_so():
    page = inventory([OURS["arcface_r100"]])
    assert "Not measured on CPU: `arcface_r100`." in page
    _, accuracy = rows_of(page, "arcface_r100")
    assert accuracy[:2] == ["0.4 (not measured)", "**0.5** (not measured)"]


def test_figures_stand_with_where_they_were_measured():
    needs = Needs(
        measured_on="an abacus",
        cpu={1: BatchNeeds(memory_mib=5.25, run_ms=0.5)},
        cuda={8: BatchNeeds(memory_mib=400, run_ms=2)},
    )
    page = inventory([OURS["nano_embed"].model_copy(update={"needs": needs})])
    _, cpu, cuda, _ = rows_of(page, "nano_embed")
    assert cpu == ["CPU", "0.5 ms, 5.25 MiB", "", "1"]
    assert cuda == ["CUDA", "", "2 ms, 400 MiB", "1"]
    assert "1. an abacus" in page
    assert "Not measured on" not in page


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"members": ("one", "two"), "merge": "agree"}, "arcface, agree of one and two"),
        ({"architecture": "arcface_mbf"}, "arcface, arcface_mbf"),
        ({"licence": "one | two"}, "one \\| two"),
        ({"runtime": "triton"}, "onnx on triton"),
    ],
)
def test_what_is_special_about_a_model(changes, told):
    assert told in rows_of(inventory([OURS["nano_embed"].model_copy(update=changes)]), "nano_embed")[0]
