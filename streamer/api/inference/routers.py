"""Everything stateless under /api/v1, over what is behind it: each a router of its own; `--api-only` has them, too."""

from fastapi import APIRouter

from streamer.api.inference import embeddings, face_recognition, rerank
from streamer.inference.inference import Inference
from streamer.telemetry.metrics import Metrics


def inference_routes(inference: Inference, metrics: Metrics) -> list[APIRouter]:
    """In the order in which /docs shows them."""
    return [
        embeddings.routes(inference.engine, inference.crops, inference.http.embeddings),
        rerank.routes(inference.reranker),
        *face_recognition.routes(inference.faces, inference.chooser, metrics),
    ]
