"""/api/v1/embeddings: images in, the faces in them with their embeddings out. Stateless but for links to crops.

On the loop; pixels, base64 and the answer's JSON are worked on by the engine's pool, behind the cameras'.
"""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from recognition.errors import (
    EmbeddingSpaceMismatch,
    GpuFailed,
    InsufficientMemory,
    ModelNotFound,
    NoModelServes,
    Overloaded,
    RunnerDead,
    SelfTestFailed,
    SpecInvalid,
    TritonModelMismatch,
    TritonUnavailable,
    UnsupportedEngine,
    UnsupportedRuntime,
    WeightsDigestMismatch,
    WeightsMissing,
    WeightsUnreadable,
)
from streamer.access.guard import needs
from streamer.api.body_limits import takes
from streamer.api.errors import CropGone, TooManyImages
from streamer.api.inference.embedding_views import EmbeddingsAnswer, EmbeddingsRequest, Options, written
from streamer.api.inference.images import Given, hold_to_count, of_base64, of_form
from streamer.api.problem_answers import problem_answers
from streamer.api.uploads import FORM, JSON, body, described, described_form, media_type_of, parsed
from streamer.inference.crop_links import CropLinks
from streamer.inference.engine import InferenceEngine
from streamer.settings import EmbeddingsSettings
from streamer.webrtc.errors import MediaTypeUnsupported

# What whoever has images looked at may meet: `problem_answers(*OF_INFERENCE)`.
OF_INFERENCE = (
    Overloaded,
    ModelNotFound,
    WeightsMissing,
    WeightsDigestMismatch,
    WeightsUnreadable,
    UnsupportedRuntime,
    UnsupportedEngine,
    SelfTestFailed,
    EmbeddingSpaceMismatch,
    SpecInvalid,
    InsufficientMemory,
    GpuFailed,
    NoModelServes,
    RunnerDead,
    TritonUnavailable,
    TritonModelMismatch,
)

CropKey = Annotated[str, Path(max_length=100, description="as an answer's `crop` has it")]


def routes(engine: InferenceEngine, links: CropLinks, limits: EmbeddingsSettings) -> APIRouter:
    embeddings = APIRouter(prefix="/api/v1/embeddings", tags=["embeddings"], dependencies=[Depends(needs("operator"))])
    most_bytes = limits.max_request_mib << 20

    @embeddings.post(
        "",
        response_model=EmbeddingsAnswer,
        responses=problem_answers(*OF_INFERENCE, TooManyImages, MediaTypeUnsupported),
        openapi_extra=body(json=described(EmbeddingsRequest), form=described_form(Options, {"images": "many"})),
        dependencies=[Depends(takes(most_bytes))],
    )
    async def embed_images(request: Request, options: Annotated[Options, Query()]) -> Response:
        """The faces in each image, the surest first, each with its embedding. An image that can't be read has its
        `error`, and the others their faces; identical images are computed once."""
        era = links.era
        async with engine.admitted(_body_bytes(request, most_bytes)):
            images, asked = await _asked(request, engine, limits, options)
            crop = asked.crop_kind(by_default=limits.return_aligned)
            reading = await engine.read(images, asked.wanted(crop))
            document, linked = await engine.on_pool(written, reading, crop)
        for key, jpeg in linked.items():
            links.put(key, jpeg, era)
        return Response(document, media_type="application/json")

    @embeddings.get("/crops/{key}", response_class=JpegResponse, responses=problem_answers(CropGone))
    async def crop(key: CropKey) -> Response:
        """A face as the embedder saw it, by the link that an answer gave; it holds for some minutes."""
        jpeg = links.get(key)
        if jpeg is None:
            raise CropGone("there is no such crop here (any more); ask for the image's embeddings again")
        return JpegResponse(jpeg)

    return embeddings


def _body_bytes(request: Request, most_bytes: int) -> int:
    """As it says itself (BodyLimits holds it to that), else as many as it may have."""
    said = request.headers.get("content-length", "")
    return min(int(said), most_bytes) if said.isdecimal() else most_bytes


async def _asked(
    request: Request, engine: InferenceEngine, limits: EmbeddingsSettings, in_query: Options
) -> tuple[list[Given], Options]:
    """The body's options over those of the query."""
    if media_type_of(request, FORM, JSON) == FORM:
        images, fields = await of_form(request, limits, Options)
        said = fields.model_dump(exclude_unset=True)
    else:
        document = await request.body()
        await engine.on_pool(hold_to_count, document, limits)
        asked = await engine.on_pool(partial(parsed, model=EmbeddingsRequest), document)
        images = await engine.on_pool(of_base64, asked.images, limits)
        said = asked.model_dump(exclude_unset=True, exclude={"images"})
    return images, in_query.model_copy(update=said)


class JpegResponse(Response):
    media_type = "image/jpeg"
