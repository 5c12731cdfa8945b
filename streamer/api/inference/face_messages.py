"""What goes to and comes from /api/v1/face-recognition, as JSON."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from gallery.matching.decide import Outcome
from streamer.api.inference.vectors import Id, Vector

MOST_GIVEN = 10_000

Cosine = Annotated[float, Field(ge=-1, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
ModelName = Annotated[
    str | None, Field(max_length=200, description="the `model_used` that they came with; null: the model that serves")
]
Threshold = Annotated[
    Cosine | None, Field(description="from which cosine on it is a match; null: the model's, as it is judged here")
]


class CompareRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"embedding1": [0.6, 0.8], "embedding2": [0.8, 0.6], "threshold": 0.4}},
    )

    embedding1: Vector
    embedding2: Vector
    model: ModelName = None
    threshold: Threshold = None


class CompareAnswer(BaseModel):
    """`confidence`: how likely the decision is right, for one comparison; null where nobody measured that."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "success": True,
                "similarity": 0.71,
                "is_match": True,
                "match_threshold": 0.241,
                "confidence": 0.9999,
                "model_used": "arcface_w600k_mbf",
                "processing_time": 0.0002,
            }
        }
    )

    success: bool
    similarity: Cosine
    is_match: bool
    match_threshold: Cosine
    confidence: Share | None
    model_used: str | None
    processing_time: Seconds


class GivenEmbedding(BaseModel):
    """`id` may be there several times: the most alike of its embeddings counts. `model`: whose it is, if that is known;
    one of another space is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Id
    embedding: Vector
    model: Annotated[str | None, Field(max_length=200)] = None


class MatchRequest(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "query_embedding": [0.6, 0.8],
                "gallery_embeddings": [{"id": "ada", "embedding": [0.8, 0.6]}, {"id": "bob", "embedding": [-0.8, 0.6]}],
                "threshold": 0.4,
            }
        },
    )

    query_embedding: Vector
    gallery_embeddings: list[GivenEmbedding] = Field(max_length=MOST_GIVEN)
    model: ModelName = None
    threshold: Threshold = None
    limit: int | None = Field(default=None, ge=1, le=MOST_GIVEN, description="how many matches at most; null: all")


class FaceMatch(BaseModel):
    """`confidence`: how likely it is that `is_match` is right, among so many; null where nobody measured that."""

    identity_id: Id
    similarity: Cosine
    confidence: Share | None
    match_threshold: Cosine
    is_match: bool


class MatchAnswer(BaseModel):
    """`matches`: every identity, the most alike first. `decision`: by these, and by the lead over the next one
    that `gallery.margin` wants; `identity_id` is null unless that is `known`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "success": True,
                "matches": [
                    {
                        "identity_id": "ada",
                        "similarity": 0.71,
                        "confidence": 0.98,
                        "match_threshold": 0.42,
                        "is_match": True,
                    }
                ],
                "decision": "known",
                "identity_id": "ada",
                "model_used": "arcface_w600k_mbf",
                "processing_time": 0.0004,
            }
        }
    )

    success: bool
    matches: list[FaceMatch]
    decision: Outcome
    identity_id: Id | None
    model_used: str | None
    processing_time: Seconds


class FaceFigures(BaseModel):
    """As enrolment grades faces (docs/accuracy.md): `size_px` about a face's height; angles in degrees, 0 upright and
    from the front."""

    sharpness: float
    brightness: Share
    contrast: Share
    size_px: float
    yaw: float
    pitch: float
    roll: float


class ExtractAnswer(BaseModel):
    """The largest upright face: `confidence` is the detector's, `face_quality` how much it is worth to an embedder;
    `faces`: how many there are in the photo."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "success": True,
                "embedding": [0.0312, -0.0544],
                "confidence": 0.87,
                "model_used": "arcface_w600k_mbf",
                "processing_time": 0.041,
                "face_quality": 0.83,
                "box": [61.0, 40.5, 170.0, 190.5],
                "faces": 1,
                "signature": "1f3a52c07d9be864",
                "figures": {
                    "sharpness": 0.08,
                    "brightness": 0.45,
                    "contrast": 0.2,
                    "size_px": 96.0,
                    "yaw": 2.1,
                    "pitch": -3.0,
                    "roll": 0.4,
                },
            }
        }
    )

    success: bool
    embedding: list[float]
    confidence: Share
    model_used: str
    processing_time: Seconds
    face_quality: Share
    box: tuple[float, float, float, float]
    faces: int
    signature: str
    figures: FaceFigures


class CameraCounts(BaseModel):
    """Of this service's cameras: visits that were settled, and those of them in which somebody was named."""

    total_recognitions: int
    total_matches: int
    match_rate: Share


class StatisticsAnswer(BaseModel):
    """What was answered here since `since` (Unix time), by this process: `total_recognitions` all answers of
    extract-embedding, compare-faces and match-face, `total_matches` those in which somebody was a match, `match_rate`
    the one by the other; `model_usage`: answers by model. `cameras`: likewise, apart."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "current_model": "arcface_w600k_mbf",
                "total_recognitions": 12,
                "total_matches": 3,
                "match_rate": 0.25,
                "average_processing_time": 0.021,
                "model_usage": {"arcface_w600k_mbf": 12},
                "extractions": 6,
                "comparisons": 6,
                "since": 1763674511.7,
                "cameras": {"total_recognitions": 40, "total_matches": 31, "match_rate": 0.775},
            }
        }
    )

    current_model: str
    total_recognitions: int
    total_matches: int
    match_rate: Share
    average_processing_time: Seconds
    model_usage: dict[str, int]
    extractions: int
    comparisons: int
    since: float
    cameras: CameraCounts


class SwitchRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"model_name": "edgeface_xxs"}})

    model_name: str = Field(min_length=1, max_length=200, description="an embedder; `auto`: the service chooses")


class SwitchAnswer(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"success": True, "current_model": "edgeface_xxs"}})

    success: bool
    current_model: str
