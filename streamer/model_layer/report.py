"""What people see of the models: the document for MQTT and the manifest, and the rows of /readyz. Pure."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from recognition.serving.served_model import ServedModel
from recognition.specs.spec import DetectorSpec, EmbedderSpec
from streamer.model_layer.switcher import Switcher
from streamer.readiness import ModelState

Seated = tuple[Switcher, ServedModel[DetectorSpec] | ServedModel[EmbedderSpec]]


def readiness(seated: Sequence[Seated]) -> tuple[ModelState, ...]:
    """Every model of the configured set, and what speaks against it."""
    serving = {served.name: served.device for switcher, served in seated if not switcher.vacant}
    return tuple(
        ModelState(
            name=one.model,
            role=served.spec.role,
            ready=one.unavailable is None,
            serving=one.model in serving,
            device=serving.get(one.model),
            code=one.unavailable.code if one.unavailable else None,
            reason=one.unavailable.why if one.unavailable else "",
        )
        for switcher, served in seated
        for one in switcher.candidates()
    )


def document(
    seated: Sequence[Seated], signature: str, by_hand: str | None, by_hand_refused: dict[str, str] | None
) -> dict[str, object]:
    """What serves, why, why not the others."""
    embedder = next(switcher for switcher, served in seated if isinstance(served.spec, EmbedderSpec))
    told: dict[str, object] = {
        "written_at": round(time.time(), 3),
        "signature": signature,
        "models_used": [asdict(served.runner.metadata()) for _, served in seated],
    }
    told |= {served.spec.kind: _row(switcher, served) for switcher, served in seated}
    told |= {"by_hand": by_hand, "by_hand_refused": by_hand_refused}
    told["reason"] = embedder.standing.code if embedder.standing else "configured"
    return told


def _row(switcher: Switcher, served: ServedModel[DetectorSpec] | ServedModel[EmbedderSpec]) -> dict[str, Any]:
    fallback, standing = served.fallback or switcher.fallback, switcher.standing
    refused = switcher.choice.refused if switcher.choice else ()
    put_off = (switcher.put_off,) if switcher.put_off else ()
    return {
        "name": served.name,
        "version": served.spec.version,
        "device": served.device,
        "batches_up_to": served.max_batch,
        "reason": standing.code if standing else "configured",
        "why": standing.why if standing else "",
        "notes": list(served.notes),
        "fallback": fallback.code if fallback else None,
        "fallback_reason": fallback.why if fallback else None,
        "others": [asdict(refusal) for refusal in (*put_off, *refused)],
    }


def refusals(switchers: Iterable[Switcher]) -> set[tuple[str, str]]:
    """Which models can't be had at all, and the code of each reason."""
    return {
        (refusal.model, refusal.code)
        for switcher in switchers
        for refusal in (switcher.choice.refused if switcher.choice else ())
        if refusal.device is None
    }
