"""What is stateless of the API, over models alone, each a router of its own: for a whole service and `--api-only`."""

from fastapi import APIRouter

from gallery.matching.rerank import Reranker
from streamer.api.inference import embeddings, rerank
from streamer.inference.engine import InferenceEngine
from streamer.settings import HttpSettings


def inference_routes(engine: InferenceEngine, reranker: Reranker, http: HttpSettings) -> list[APIRouter]:
    """In the order in which /docs shows them."""
    return [embeddings.routes(engine, http.embeddings), rerank.routes(reranker)]
