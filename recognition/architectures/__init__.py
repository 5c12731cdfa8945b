"""The published architectures by name: what a checkpoint may be, and the network that it fits.

A name goes in, a row of the table out, without PyTorch; build() alone imports that. Blocks for a small file read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module, resources
from typing import TYPE_CHECKING, Any, Literal

from recognition.errors import ModelNotFound
from recognition.near_names import did_you_mean

if TYPE_CHECKING:
    from torch import nn

Family = Literal["adaface", "arcface", "facenet"]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The tensors of a published checkpoint by name, in the network's order; and where that is known from.

    `optional` ones may be missing: what only training needs.
    """

    source: str
    tensors: Mapping[str, Shape]
    optional: Mapping[str, Shape]


@dataclass(frozen=True, slots=True)
class Architecture:
    """One published network. `family` says how its input is prepared; `terms`: what its authors say of their weights.

    `module` and `network` name the class, `depths` is what that is built with.
    """

    name: str
    family: Family
    module: str
    network: str
    terms: str
    depths: tuple[int, ...] = ()

    def build(self) -> "nn.Module":
        """The network, with PyTorch's own first weights. Needs the extra `train`."""
        network = getattr(import_module(f"{__name__}.{self.module}"), self.network)
        net: nn.Module = network(self.depths) if self.depths else network()
        return net

    def manifest(self) -> Manifest:
        """What a checkpoint of it holds."""
        file = resources.files(__name__) / "manifests" / f"{self.name}.json"
        tree: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        tensors: dict[str, Shape] = {}
        optional: dict[str, Shape] = {}
        for module, shapes in tree["tensors"].items():
            into = optional if module in tree["optional"] else tensors
            into.update({f"{module}.{tensor}": tuple(shape) for tensor, shape in shapes.items()})
        return Manifest(f"{tree['source']} {tree['file']} at {tree['revision'][:12]}", tensors, optional)


_INSIGHTFACE = "InsightFace: non-commercial research only, if it is InsightFace's own"
_ADAFACE = "MIT and the terms of the data it was trained on, if it is AdaFace's own"
_FACENET = "MIT, if it is facenet-pytorch's own; the data it was trained on is for research"

_DEPTHS = {"18": (2, 2, 2, 2), "34": (3, 4, 6, 3), "50": (3, 4, 14, 3), "100": (3, 13, 30, 3), "101": (3, 13, 30, 3)}

ARCHITECTURES: Mapping[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        *(
            Architecture(f"adaface_ir{n}", "adaface", "adaface_ir", "AdaFaceIR", _ADAFACE, _DEPTHS[n])
            for n in ("18", "50", "101")
        ),
        *(
            Architecture(f"arcface_r{n}", "arcface", "iresnet", "IResNet", _INSIGHTFACE, _DEPTHS[n])
            for n in ("18", "34", "50", "100")
        ),
        Architecture("arcface_mbf", "arcface", "mobilefacenet", "MobileFaceNet", _INSIGHTFACE),
        Architecture("facenet_vggface2", "facenet", "inception_resnet_v1", "InceptionResnetV1", _FACENET),
        Architecture("facenet_casia", "facenet", "inception_resnet_v1", "InceptionResnetV1", _FACENET),
    )
}
ALIASES = {"adaface": "adaface_ir101", "arcface": "arcface_r100", "facenet": "facenet_vggface2"}


def find_architecture(name: str) -> Architecture:
    """The architecture of this name or alias. Raises ModelNotFound, which names the nearest one."""
    full = ALIASES.get(name, name)
    if full in ARCHITECTURES:
        return ARCHITECTURES[full]
    hint = did_you_mean(name, ARCHITECTURES, f"there are {', '.join(ARCHITECTURES)}")
    raise ModelNotFound(f"architecture {name}: is not known{hint}")
