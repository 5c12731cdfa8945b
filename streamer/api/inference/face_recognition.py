"""/api/v1/face-recognition: embeddings of photos, and embeddings held against each other; keys as other programs know.

On the loop; everything is asked of one FaceRecognition. Nothing is kept but counts, and photos' embeddings for minutes.
"""

import asyncio
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from gallery.errors import FaceDoubtful, FaceNotUpright, NoFace, QualityTooLow
from recognition.arrays import F32
from recognition.errors import (
    EmbeddingSpaceMismatch,
    EmbeddingUnusable,
    ImageError,
    ImageTooLarge,
    ModelNotFound,
    Overloaded,
    UnsupportedEngine,
    UnsupportedRuntime,
    WeightsDigestMismatch,
    WeightsMissing,
)
from recognition.image import MAX_BYTES
from streamer.access.guard import needs
from streamer.api.body_limits import NUMBERS, takes
from streamer.api.errors import EmbeddingInvalid
from streamer.api.inference.embeddings import OF_INFERENCE
from streamer.api.inference.face_messages import (
    CompareAnswer,
    CompareRequest,
    ExtractAnswer,
    FaceFigures,
    MatchAnswer,
    MatchRequest,
    StatisticsAnswer,
    SwitchAnswer,
    SwitchRequest,
)
from streamer.api.inference.large_json import limited
from streamer.api.inference.vectors import rows_of, unit
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.uploads import FORM, body, described_form, file_of, form_of, media_type_of
from streamer.errors import DataFolderUnwritable, ModelNotSwitched, PeopleNotCovered
from streamer.inference.face_recognition import Extracted, FaceRecognition
from streamer.model_layer.choosing import ModelChooser
from streamer.telemetry.metrics import Metrics
from streamer.webrtc.errors import MediaTypeUnsupported

Model = Annotated[
    str | None, Query(max_length=200, description="an embedder, loaded beside if need be; none: the one that serves")
]

_FORM_BYTES = 1 << 16  # around an image
_PREFIX = "/api/v1/face-recognition"
_OF_A_PHOTO = (NoFace, FaceNotUpright, FaceDoubtful, QualityTooLow, EmbeddingUnusable)
_COMPARING = problem_answers(EmbeddingInvalid, EmbeddingSpaceMismatch, ModelNotFound, Overloaded)
_SWITCHING = (
    ModelNotFound,
    WeightsMissing,
    WeightsDigestMismatch,
    UnsupportedRuntime,
    UnsupportedEngine,
    PeopleNotCovered,
    ModelNotSwitched,
    DataFolderUnwritable,
)


def routes(faces: FaceRecognition, chooser: ModelChooser, metrics: Metrics) -> list[APIRouter]:
    return [_of_embeddings(faces), _of_the_model(faces, chooser, metrics)]


def _of_embeddings(faces: FaceRecognition) -> APIRouter:
    router = APIRouter(
        prefix=_PREFIX,
        tags=["face recognition"],
        route_class=limited(faces.admitted),
        dependencies=[Depends(needs("operator"))],
    )

    @router.post(
        "/extract-embedding",
        response_model=ExtractAnswer,
        responses=problem_answers(MediaTypeUnsupported, ImageError, *_OF_A_PHOTO, *OF_INFERENCE),
        openapi_extra=body(form=described_form(None, {"image": "one"})),
        dependencies=[Depends(takes(MAX_BYTES + _FORM_BYTES))],
    )
    async def extract_embedding(request: Request, model: Model = None) -> Response:
        """The embedding of a photo's face: of the largest one that stands upright."""
        found, seconds = await faces.extract(await _photo(request), model)
        return _json(**_extracted(found, seconds))

    @router.post("/compare-faces", response_model=CompareAnswer, responses=_COMPARING, dependencies=[Depends(NUMBERS)])
    async def compare_faces(asked: CompareRequest) -> Response:
        """Whether two embeddings are of one person."""
        rows = unit(rows_of([asked.embedding1, asked.embedding2], ["embedding1", "embedding2"].__getitem__))
        found = await faces.compare(rows[0], rows[1], asked.model, asked.threshold)
        (one,) = found.given.likenesses
        return _json(
            success=True,
            similarity=one.similarity,
            is_match=one.is_match,
            match_threshold=one.threshold,
            confidence=one.confidence,
            model_used=found.model,
            processing_time=found.seconds,
        )

    @router.post("/match-face", response_model=MatchAnswer, responses=_COMPARING, dependencies=[Depends(NUMBERS)])
    async def match_face(asked: MatchRequest) -> Response:
        """Who of a gallery that is given with it an embedding is of, if anybody."""
        rows = await asyncio.to_thread(_rows, asked)
        given = {repr(one.id): one.id for one in asked.gallery_embeddings}  # the number 1 is not the text "1"
        ids, models = (
            zip(*((repr(one.id), one.model) for one in asked.gallery_embeddings), strict=True) if given else ((), ())
        )
        found = await faces.match(rows[0], ids, rows[1:], models, asked.model, asked.threshold)
        who = found.given.identity_id
        matches = [
            {
                "identity_id": given[one.identity_id],
                "similarity": one.similarity,
                "confidence": one.confidence,
                "match_threshold": one.threshold,
                "is_match": one.is_match,
            }
            for one in found.given.likenesses[: asked.limit]
        ]
        return _json(
            success=True,
            matches=matches,
            decision=found.given.outcome,
            identity_id=None if who is None else given[who],
            model_used=found.model,
            processing_time=found.seconds,
        )

    return router


def _of_the_model(faces: FaceRecognition, chooser: ModelChooser, metrics: Metrics) -> APIRouter:
    router = APIRouter(prefix=_PREFIX, tags=["face recognition"])

    @router.get("/statistics", response_model=StatisticsAnswer, dependencies=[Depends(needs("viewer"))])
    async def statistics() -> Response:
        """What was recognised here since the start, and what the cameras did meanwhile."""
        counts = faces.counts
        return _json(
            current_model=faces.current_model,
            total_recognitions=counts.recognitions,
            total_matches=counts.matches,
            match_rate=counts.match_rate,
            average_processing_time=counts.mean_seconds,
            model_usage=dict(counts.models),
            extractions=counts.kinds["extract"],
            comparisons=counts.kinds["compare"] + counts.kinds["match"],
            since=faces.started_at,
            cameras=_of_cameras(metrics),
        )

    @router.post(
        "/switch-model",
        response_model=SwitchAnswer,
        dependencies=[Depends(needs("operator"))],
        responses=problem_answers(*_SWITCHING, *OF_GALLERY),
    )
    async def switch_model(asked: SwitchRequest) -> SwitchAnswer:
        """Have another embedder serve, the cameras too: as `whosthere models use` does."""
        await chooser.use(asked.model_name)
        return SwitchAnswer(success=True, current_model=faces.current_model)

    return router


async def _photo(request: Request) -> bytes:
    """Raises MediaTypeUnsupported, RequestValidationError, HTTPException (no form), ImageTooLarge."""
    media_type_of(request, FORM)
    async with form_of(request, most_files=1) as form:
        upload = file_of(form, "image")
        if (upload.size or 0) > MAX_BYTES:
            raise ImageTooLarge(f"the image has more than {MAX_BYTES >> 20} MiB; make it smaller")
        return await upload.read()


def _extracted(found: Extracted, seconds: float) -> dict[str, object]:
    figures = {name: getattr(found.quality, name)[0] for name in FaceFigures.model_fields}
    return {
        "success": True,
        "embedding": found.embedding,
        "confidence": found.score,
        "model_used": found.model,
        "processing_time": seconds,
        "face_quality": found.quality.score[0],
        "box": found.box,
        "faces": found.faces,
        "signature": found.signature,
        "figures": figures,
    }


def _rows(asked: MatchRequest) -> F32:
    """The query first."""
    vectors = [asked.query_embedding, *(one.embedding for one in asked.gallery_embeddings)]
    return unit(rows_of(vectors, lambda row: f"gallery_embeddings[{row - 1}]" if row else "query_embedding"))


def _of_cameras(metrics: Metrics) -> dict[str, float]:
    """Visits that were settled, and those that got a name with it."""
    settled = [
        sample
        for metric in metrics.events.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["type"] == "new"
    ]
    total = int(sum(sample.value for sample in settled))
    named = int(sum(sample.value for sample in settled if sample.labels["known"] == "true"))
    return {"total_recognitions": total, "total_matches": named, "match_rate": named / total if total else 0.0}


def _json(**answer: object) -> Response:
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")
