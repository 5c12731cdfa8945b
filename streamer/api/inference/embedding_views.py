"""What /api/v1/embeddings is asked and answers, as its document tells of it, and how an answer is written.

Numbers are written as float32 has them, out of the arrays themselves: an embedding is most of an answer.
"""

from base64 import b64encode
from http import HTTPStatus
from typing import Any, Literal

import cv2
import orjson
from pydantic import BaseModel, ConfigDict, Field

from recognition import embed
from recognition.arrays import U8
from recognition.errors import ImageError
from recognition.faces import Detections
from streamer.api.problems import status_of
from streamer.api.wording.http_means import over_http
from streamer.inference.crop_links import new_key
from streamer.inference.reading import Reading, Seen, Wanted

CropKind = Literal["none", "inline", "link"]
CROPS = "/api/v1/embeddings/crops"
_JPEG_QUALITY = 95

Box = list[float]
Landmark = list[float]


class Options(BaseModel):
    """What may be said beside the images, in the query or in the body, whose word counts."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"model": "nano_embed", "crop": "inline"}})

    model: str | None = Field(
        default=None, max_length=100, description="an embedder's name; left out: the one that cameras have"
    )
    return_aligned: bool | None = Field(
        default=None, description="crops inline; left out: as `http.embeddings.return_aligned` says"
    )
    crop: CropKind | None = Field(
        default=None, description="faces as the embedder saw them: in the answer, or by a link for five minutes"
    )
    normalize: bool = Field(default=True, description="unit vectors; else as long as the network gave them")
    detections: bool = Field(default=False, description="the detector's boxes before any threshold, too")
    thorough: bool = Field(
        default=False,
        description="as at an enrolment's photo: two looks, a second at each face, and turned where it lies",
    )

    def crop_kind(self, *, by_default: bool) -> CropKind:
        """by_default: the setting."""
        if self.crop is not None:
            return self.crop
        return "inline" if (by_default if self.return_aligned is None else self.return_aligned) else "none"

    def wanted(self, crop: CropKind) -> Wanted:
        return Wanted(self.model, self.normalize, crop != "none", self.detections, self.thorough)


class EmbeddingsRequest(Options):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"images": ["/9j/4AAQSkZJRgABAQ=="], "model": "nano_embed"}}
    )

    images: list[str] = Field(description="files (JPEG, PNG, WebP, AVIF, BMP) in base64, or data: URLs", min_length=1)


class DetectionView(BaseModel):
    """`box`: left, top, right, bottom in pixels of the image as a person sees it; it may reach over the edge."""

    box: Box = Field(min_length=4, max_length=4)
    score: float
    landmarks: list[Landmark] = Field(
        min_length=5, max_length=5, description="left eye, right eye, nose, left and right corner of the mouth, as seen"
    )


class FaceView(DetectionView):
    quality: float = Field(ge=0, le=1, description="how much the face is worth to an embedder")
    embedding: list[float] | None = Field(description="null: the network gave nothing that can be used")
    crop: str | None = Field(description="a JPEG: a data: URL, or a path that holds for some minutes")


class FaultView(BaseModel):
    """As a problem document: what is wrong with this image, the others aside."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class ImageView(BaseModel):
    """The surest face first. `detections`: where they are asked for; `error`: null where the image could be read."""

    width: int | None
    height: int | None
    faces: list[FaceView]
    detections: list[DetectionView] | None = None
    error: FaultView | None


class ModelView(BaseModel):
    """`signature` changes whenever answers may; embeddings of different `space`s can't be compared."""

    name: str
    space: str
    signature: str
    size: int


class EmbeddingsAnswer(BaseModel):
    """One entry for each image, in the order in which they came, all by one model."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "images": [
                    {
                        "width": 1280,
                        "height": 886,
                        "faces": [
                            {
                                "box": [612.5, 140.1, 701.8, 262.3],
                                "score": 0.87,
                                "landmarks": [[636, 187], [679, 186], [658, 213], [640, 233], [677, 232]],
                                "quality": 0.83,
                                "embedding": [0.0512, -0.0131, 0.0876],
                                "crop": None,
                            }
                        ],
                        "error": None,
                    }
                ],
                "model": {"name": "nano_embed", "space": "nano_embed.2", "signature": "5b2fa8bd0cb1ad0b", "size": 3},
            }
        }
    )

    images: list[ImageView]
    model: ModelView


def written(reading: Reading, crop: CropKind) -> tuple[bytes, dict[str, bytes]]:
    """The answer's JSON, and the JPEGs that it links to by their keys. Blocks for the JPEGs: call it on a pool."""
    linked: dict[str, bytes] = {}
    images = [_fault(one) if isinstance(one, ImageError) else _image(one, crop, linked) for one in reading.images]
    model = {"name": reading.model, "space": reading.space, "signature": reading.signature, "size": reading.size}
    return orjson.dumps({"images": images, "model": model}, option=orjson.OPT_SERIALIZE_NUMPY), linked


def _image(seen: Seen, crop: CropKind, linked: dict[str, bytes]) -> dict[str, Any]:
    usable = embed.usable(seen.embeddings).tolist()
    faces = [
        face
        | {
            "quality": seen.quality.score[place],
            "embedding": seen.embeddings[place] if usable[place] else None,
            "crop": None if seen.crops is None else _crop(seen.crops[place], crop, linked),
        }
        for place, face in enumerate(_detections(seen.detections))
    ]
    image: dict[str, Any] = {"width": seen.width, "height": seen.height, "faces": faces, "error": None}
    return image if seen.candidates is None else image | {"detections": _detections(seen.candidates)}


def _detections(found: Detections) -> list[dict[str, Any]]:
    boxes, landmarks = found.boxes.round(2), found.landmarks.round(2)
    return [
        {"box": box, "score": score, "landmarks": points}
        for box, score, points in zip(boxes, found.scores, landmarks, strict=True)
    ]


def _crop(bgr: U8, kind: CropKind, linked: dict[str, bytes]) -> str:
    jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
    if kind == "inline":
        return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
    key = new_key()
    linked[key] = jpeg
    return f"{CROPS}/{key}"


def _fault(error: ImageError) -> dict[str, Any]:
    status = status_of(error)
    fault = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": over_http(str(error)),
    }
    return {"width": None, "height": None, "faces": [], "error": fault | {"code": error.code}}
