"""What a network is, told by its shapes: real ones, and tiny ones with the shapes of those that can't be here."""

import pytest

from recognition.errors import WeightsUnreadable
from recognition.specs.files import load_specs
from recognition.specs.weights import find_weights
from recognition.zoo.identify import Graph, identify
from tests.tiny_networks import answering, detector, embedder


@pytest.mark.parametrize("name", [name for name, spec in load_specs().items() if spec.weights_digest])
def test_the_real_ones_are_what_their_specs_say(folders, name):
    spec = load_specs()[name]
    graph = identify(spec.file, find_weights(spec, folders(name)).read_bytes())
    assert isinstance(graph, Graph)
    assert (graph.family, graph.input, graph.size) == (
        spec.family,
        spec.input.name,
        (112, 112) if spec.role == "face_embedding" else (640, 640),
    )
    assert graph.embedding_size == getattr(spec, "embedding_size", 0)
    assert graph.multiple == spec.input.multiple
    assert graph.takes_batches == (spec.batch == "dynamic")


def test_tiny_ones():
    assert identify("det.onnx", detector(96)) == Graph("scrfd", "input.1", (96, 96), None, takes_batches=False)
    assert identify("rec.onnx", embedder(128)) == Graph("arcface", "input.1", (112, 112), None, True, 128)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (answering(3, 96), "tells age and sex"),
        (answering(212, 192), "finds 106 landmarks"),
        (answering(3309, 192), "finds landmarks in three dimensions"),
        (answering(1000, 224), "has outputs of 1000 numbers: no detector and no embedder"),
        (answering(512, 160), "has outputs of 512 numbers"),
        (answering(3, 4000), "which is no picture of ours"),
        (detector(widths=(1, 4)), "a detector without landmarks"),
        (detector(strides=(8, 16, 32, 64)), "no detector"),
        (detector(strides=(4, 8, 16)), "or at other strides than 8, 16 and 32"),
    ],
)
def test_what_is_of_no_use_is_told_in_words(network, reason):
    why = identify("some.onnx", network)
    assert isinstance(why, str)
    assert reason in why


def test_the_shared_liveness_networks_are_none_of_ours(shared):
    assert "outputs of 3 numbers" in identify(
        "x.onnx", (shared / "models" / "minifasnet_v2_2.7_80x80.onnx").read_bytes()
    )


def test_what_is_no_network_at_all():
    with pytest.raises(WeightsUnreadable, match=r"odd\.onnx: ONNX Runtime can't load it"):
        identify("odd.onnx", b"This is no network.")
