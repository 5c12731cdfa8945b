"""What is stateless of the API, over models alone, each a router of its own: for a whole service and `--api-only`."""

from fastapi import APIRouter

from streamer.api.inference import embeddings, face_recognition, rerank
from streamer.inference.inference import Inference
from streamer.settings import HttpSettings
from streamer.telemetry.metrics import Metrics


def inference_routes(inference: Inference, http: HttpSettings, metrics: Metrics) -> list[APIRouter]:
    """In the order in which /docs shows them."""
    return [
        embeddings.routes(inference.engine, http.embeddings),
        rerank.routes(inference.reranker),
        *face_recognition.routes(inference.faces, inference.chooser, metrics),
    ]
