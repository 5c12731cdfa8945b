"""What is wanted of images, and what was seen in them. Plain data; shapes as recognition.faces has them."""

from dataclasses import dataclass

from recognition.arrays import F32, U8
from recognition.errors import ImageError
from recognition.faces import Detections, Quality


@dataclass(frozen=True, slots=True)
class Wanted:
    """`model`: an embedder's name or alias, None: the one that serves.

    normalize: unit vectors; else as long as the network gave them. crops: the faces as the embedder saw them.
    candidates: what the detector said before anything was left out. thorough: look as at an enrolment's photo (two
    passes, a second look at each face, the picture turned); else as at a camera's frame.
    called: what is said to be wrong with an image calls it so, by its place.
    """

    model: str | None = None
    normalize: bool = True
    crops: bool = False
    candidates: bool = False
    thorough: bool = False
    called: str = "images[{}]"


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """n faces of one image, the surest first. embeddings (n,d) float32, a row of zeros where it is not usable.

    crops: (n,h,w,3) uint8 BGR; candidates: in one pass, the surest first. None where they were not wanted.
    """

    width: int
    height: int
    detections: Detections
    quality: Quality
    embeddings: F32
    crops: U8 | None = None
    candidates: Detections | None = None

    def __len__(self) -> int:
        return len(self.detections)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One outcome for each image, in the order in which they were given; all embeddings are by this one model.

    size: how many numbers an embedding has. signature: of detector and embedder, changes whenever their answers may.
    """

    images: tuple[Seen | ImageError, ...]
    model: str
    space: str
    signature: str
    size: int
