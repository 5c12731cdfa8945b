"""InsightFace's real MobileFaceNets, taken out of their ONNX files into our network, answer as ONNX Runtime does.

`y1` (2018) keeps its batch normalisations, so each tensor of ours but one gets its published value: the linear layer's
bias, which ours has not, goes into the mean of the normalisation behind it. In `w600k_mbf` (buffalo_s) they are folded
into the convolutions: what can be held against it are all convolutions, PReLUs, the linear layer and the last
normalisation; the 49 normalisations between are set to add the folded bias and nothing else. Its last layers are not
those of the published source, see MobileFaceNet.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")
onnx = pytest.importorskip("onnx")

from torch import nn  # noqa: E402  # behind the skip, as all that follows

from recognition import embed  # noqa: E402
from recognition.architectures.mobilefacenet import MobileFaceNet  # noqa: E402
from recognition.checks.parity import face_crops  # noqa: E402
from recognition.specs.files import load_specs  # noqa: E402

# Large networks on busy machines.
pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("one_thread")]


class Steps:
    """The tensors of an ONNX file, kind by kind, in the order of its graph."""

    def __init__(self, file):
        model = onnx.load(file)
        self.tensors = {entry.name: onnx.numpy_helper.to_array(entry) for entry in model.graph.initializer}
        self.nodes = list(model.graph.node)

    def of(self, *kinds):
        """For each node of these kinds: its kind, the tensors it holds, and its epsilon where it has one."""
        for node in self.nodes:
            if node.op_type in kinds:
                held = [torch.from_numpy(self.tensors[name].copy()) for name in node.input if name in self.tensors]
                epsilon = next((entry.f for entry in node.attribute if entry.name == "epsilon"), 0.0)
                yield node.op_type, held, epsilon


def layers_in_order(net):
    """The layers of ours that hold tensors; modules are registered in the order of the graph."""
    return [
        part
        for part in net.modules()
        if isinstance(part, nn.Conv2d | nn.PReLU | nn.Linear | nn.modules.batchnorm._BatchNorm)
    ]


def set_normalisation(part, scale, shift, mean, variance, epsilon):
    part.weight.copy_(scale)
    part.bias.copy_(shift)
    part.running_mean.copy_(mean)
    part.running_var.copy_(variance + epsilon - part.eps)


@torch.no_grad()
def load_y1(net, steps):
    bias = None
    layers = layers_in_order(net)
    nodes = list(steps.of("Conv", "PRelu", "Gemm", "BatchNormalization"))
    assert len(layers) == len(nodes) == 49 + 33 + 1 + 50
    for part, (kind, held, epsilon) in zip(layers, nodes, strict=True):
        if kind == "BatchNormalization":
            scale, shift, mean, variance = held
            set_normalisation(part, scale, shift, mean if bias is None else mean - bias, variance, epsilon)
        else:
            assert part.weight.numel() == held[0].numel()
            part.weight.copy_(held[0].reshape(part.weight.shape))
            bias = held[1] if kind == "Gemm" else None


@torch.no_grad()
def load_w600k(net, steps):
    layers = iter(layers_in_order(net))
    convolutions = 0
    for kind, held, epsilon in steps.of("Conv", "PRelu", "Gemm", "BatchNormalization"):
        part = next(layers)
        if kind == "BatchNormalization":
            set_normalisation(part, *held, epsilon)
        elif kind == "Gemm":
            part.weight.copy_(held[0].T)
            part.bias.copy_(held[1])
        else:
            part.weight.copy_(held[0].reshape(part.weight.shape))
        if kind == "Conv":
            convolutions += 1
            zeros, ones = torch.zeros_like(held[1]), torch.ones_like(held[1])
            folded = next(layers)
            set_normalisation(folded, ones, held[1], zeros, ones, 0.0)
    assert convolutions == 49
    assert next(layers, None) is None, "a layer of ours got nothing"


@pytest.mark.parametrize(
    ("name", "net", "load"),
    [
        ("arcface_mobilefacenet_y1", lambda: MobileFaceNet(128, scale=1), load_y1),
        ("arcface_w600k_mbf", lambda: MobileFaceNet(512, scale=2, head="dense"), load_w600k),
    ],
)
def test_real_weights_answer_in_our_network_as_in_onnx_runtime(shared, runners, name, net, load):
    spec = load_specs()[name]
    ours = net().eval()
    load(ours, Steps(shared / "models" / spec.file))
    crops = face_crops(spec)
    fed = embed.prepare(spec, crops)
    expected = embed.parse(spec, [runners(name).run(face[None]) for face in fed])
    if spec.input.mean == 0:
        fed = (fed - 127.5) / 128  # which the graph of y1 does itself
    with torch.no_grad():
        answers = ours(torch.from_numpy(fed)).numpy()
        swapped = ours(torch.from_numpy(np.ascontiguousarray(fed[:, ::-1]))).numpy()
    got = embed.parse(spec, [[row] for row in answers])
    assert (got * expected).sum(axis=1).min() > 0.9999
    assert (embed.parse(spec, [[row] for row in swapped]) * expected).sum(axis=1).min() < 0.98
