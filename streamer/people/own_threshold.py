"""A person's own threshold, in a space that a model here makes templates of. Pure."""

from gallery.errors import ThresholdInvalid
from gallery.people import OwnThreshold
from recognition.models.manager import ModelManager
from streamer.model_layer.enrolling import space_sizes
from streamer.pipeline.match_policy import own_threshold_spec
from streamer.settings import Settings


def own_threshold(settings: Settings, manager: ModelManager, cosine: float, space: str | None = None) -> OwnThreshold:
    """space None: the configured embedder's. Raises ModelNotFound, and ThresholdInvalid where no model has it."""
    if space is None:
        return OwnThreshold(own_threshold_spec(settings, manager).space, cosine)
    known = sorted(space_sizes(manager))
    if space not in known:
        raise ThresholdInvalid(f"no model makes templates of that space; give one of {', '.join(known)}, or none")
    return OwnThreshold(space, cosine)
