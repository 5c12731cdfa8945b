"""Packs: pairs of models by name, and what a name on the command line stands for."""

from pathlib import Path

import pytest

from recognition.errors import ModelNotFound, SpecInvalid
from recognition.specs.files import load_specs
from recognition.specs.packs import Pack, load_packs, resolve

SPECS = load_specs()
PACKS = {
    "small": Pack(name="small", detector="yunet_n", embedder="mobileface_v2"),
    "future": Pack(name="future", detector="not_there", embedder="mobileface_v2"),
    "swapped": Pack(name="swapped", detector="mobileface_v2", embedder="yunet_n"),
}


def test_nano_is_shipped() -> None:
    nano = load_packs()["nano"]
    assert (nano.detector, nano.embedder) == ("nano_det", "nano_embed")


def test_a_packs_name_is_the_pack_and_an_embedders_goes_with_the_detector_given() -> None:
    assert resolve("small", SPECS, PACKS, "scrfd_500m") == PACKS["small"]
    alone = resolve("edgeface_xxs", SPECS, PACKS, "scrfd_500m")
    assert (alone.name, alone.detector, alone.embedder) == ("edgeface_xxs", "scrfd_500m", "edgeface_xxs")


@pytest.mark.parametrize(
    ("name", "detector", "says"),
    [
        ("smal", "scrfd_500m", "model smal: there is no pack and no spec of this name; did you mean small?"),
        ("yunet_n", "scrfd_500m", "model yunet_n: is a detector, .* name a pack or an embedder"),
        (
            "edgeface_xxs",
            "scrfd",
            r"model scrfd \(detector of edgeface_xxs\): there is no spec .* known are nano_det, scrfd_2",
        ),
        ("edgeface_xxs", "mobileface_v2", r"\(detector of edgeface_xxs\): is an embedder, no detector"),
        ("future", "scrfd_500m", r"model not_there \(detector of future\): there is no spec of this name"),
        ("swapped", "scrfd_500m", r"model mobileface_v2 \(detector of swapped\): is an embedder"),
    ],
)
def test_names_that_stand_for_nothing(name: str, detector: str, says: str) -> None:
    with pytest.raises(ModelNotFound, match=says):
        resolve(name, SPECS, PACKS, detector)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", r"pack .*bad\.yaml: no YAML"),
        ("7", "the file: input should be"),
        ("{name: bad, detector: yunet_n}", "embedder: field required"),
        ("{name: bad, detector: yunet_n, embedder: e, weights: 1}", "weights: extra inputs"),
        ("{name: good, detector: yunet_n, embedder: e}", "name: says good, but its path says bad"),
    ],
)
def test_packs_that_are_none(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(SpecInvalid, match=says):
        load_packs(tmp_path)
