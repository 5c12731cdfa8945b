"""/api/v1/identify: who is in photos, by the gallery; nothing is kept of them. On the loop."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from recognition.errors import Overloaded
from streamer.api.problem_answers import problem_answers
from streamer.api.uploads import FORM, body, described_form, fields_of, form_of, media_type_of, photos_of
from streamer.api.v1.people import MOST_PHOTOS
from streamer.api.v1.person_views import Operator, example
from streamer.api.wording.http_means import LineOverHttp
from streamer.people.studio import Studio
from streamer.webrtc.errors import MediaTypeUnsupported


class WhoView(BaseModel):
    """`name` null: somebody who was forgotten just now."""

    id: str
    name: str | None


class CandidateView(WhoView):
    similarity: float


class FaceView(BaseModel):
    """`box`: [left, top, right, bottom] in pixels of the picture upright. `person` only with `known`, `candidates` only
    with `ambiguous`. Similarity and confidence are null of a `poor` face, and where nobody is enrolled. `ignored`: no
    event tells of that person.
    """

    box: tuple[float, float, float, float]
    quality: float
    decision: Literal["known", "unknown", "ambiguous", "poor"]
    person: WhoView | None
    similarity: float | None
    threshold: float | None
    confidence: float | None
    candidates: list[CandidateView]
    ignored: bool


class WhyView(BaseModel):
    code: str
    why: LineOverHttp


class PhotoFaces(BaseModel):
    """An image's faces, the largest first; with `error`, why it could not be read."""

    file: str
    faces: list[FaceView]
    error: WhyView | None = None


class Identified(BaseModel):
    """In the order given."""

    model_config = example(
        {
            "images": [
                {
                    "file": "party.jpg",
                    "faces": [
                        {
                            "box": [120.5, 80.0, 260.3, 270.9],
                            "quality": 0.83,
                            "decision": "known",
                            "person": {"id": "p7f3k2m9q1xz4", "name": "Ada Lovelace"},
                            "similarity": 0.71,
                            "threshold": 0.42,
                            "confidence": 0.98,
                            "candidates": [],
                            "ignored": False,
                        }
                    ],
                    "error": None,
                }
            ]
        }
    )

    images: list[PhotoFaces]


class _Nothing(BaseModel):
    """No field beside the images."""

    model_config = ConfigDict(extra="forbid")


def routes(studio: Studio) -> APIRouter:
    identify = APIRouter(prefix="/api/v1", tags=["people"])

    @identify.post(
        "/identify",
        response_model=Identified,
        responses=problem_answers(Overloaded, MediaTypeUnsupported),
        openapi_extra=body(form=described_form(None, {"images": "many"})),
    )
    async def who_is_in(_: Operator, request: Request) -> dict[str, Any]:
        """Say who is in these photos, by the gallery and as cameras are judged; nothing is kept of them. One that can't
        be read does not keep the others from an answer.
        """
        media_type_of(request, FORM)
        async with studio.admitted(), form_of(request, MOST_PHOTOS) as form:
            fields_of(form, _Nothing, ["images"])
            images = []
            for path, read in photos_of(form).items():
                if await request.is_disconnected():  # nobody waits for the others
                    break
                images.append(await studio.identify(path, read))
            return {"images": images}

    return identify
