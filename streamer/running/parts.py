"""What /readyz says of the parts that a service has with cameras and without. Pure."""

from collections.abc import Iterator

from gallery.matching.rerank import Reranker
from streamer.access.live_tokens import LiveTokens
from streamer.api.certificate import Certificate
from streamer.model_layer.layer import ModelLayer
from streamer.readiness import Part


def models_part(layer: ModelLayer) -> Part:
    """Not ready where answers are useless; ready, and yet something to say, where a model had to go to the CPU."""
    if layer.fault is not None:
        return Part("models", False, layer.fault)
    fallbacks = [(served.name, served.fallback or switcher.fallback) for switcher, served in layer.seated()]
    return Part("models", True, "; ".join(f"{name} on the CPU: {found.why}" for name, found in fallbacks if found))


def asked_parts(layer: ModelLayer, reranker: Reranker) -> Iterator[Part]:
    """What models and re-ranking need of others: a Triton server, a user's own library. /healthz tells of both."""
    if (triton := layer.triton) is not None:
        yield triton
    yield Part("rerank", not reranker.trouble, reranker.trouble)


def door_parts(tokens: LiveTokens, certificate: Certificate | None) -> Iterator[Part]:
    """What HTTP needs to let anybody in."""
    yield Part("tokens", not tokens.trouble, tokens.trouble)
    if certificate is not None:
        yield Part("certificate", not certificate.fault, certificate.trouble)
