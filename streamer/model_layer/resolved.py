"""What the configuration would begin with on this machine. No weights are loaded; blocks for the gallery."""

from typing import Any

from recognition.specs.spec import signature_of
from streamer.model_layer.layer import ModelLayer
from streamer.model_layer.setup import make_manager
from streamer.settings import Settings
from streamer.telemetry.metrics import Metrics

# What the resolved mapping tells of a spec, besides its name.
_OF_A_SPEC = ("version", "role", "runtime", "engine", "precision", "weights_digest", "preprocessing_signature")


def resolved_models(settings: Settings) -> dict[str, Any]:
    """What the configuration would begin with here: role -> model and place, the signature of all, and what is used.

    No weights are loaded. Blocks for the gallery; raises what choosing raises, and what planned_form() raises.
    """
    layer = ModelLayer(settings, make_manager(settings), Metrics())
    layer.look_up()
    resolved, used, specs = {}, [], []
    for switcher in (layer.detector, layer.embedder):
        switcher.first()
        standing = switcher.standing
        assert standing is not None  # first() has said where
        place, spec = standing.place, layer.manager.spec(standing.place.model)
        told = {key: getattr(spec, key) for key in _OF_A_SPEC}
        told |= {"device": place.device, "batches_up_to": place.bucket, "signature": signature_of(spec)}
        told["form"] = layer.manager.planned_form(spec.name, place.device)
        resolved[spec.role] = {"model": spec.name, **told, "reason": standing.code, "why": standing.why}
        used.append({"name": spec.name, **told})
        specs.append(spec)
    return {"resolved": resolved, "signature": signature_of(*specs), "models_used": used}
