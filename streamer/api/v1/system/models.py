"""/api/v1/models: which there are, which serve, and which is to. On the loop; weights are looked at on threads."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict

from recognition.errors import (
    InsufficientMemory,
    ModelNotFound,
    NetworkForbidden,
    SelfTestFailed,
    TritonModelMismatch,
    TritonUnavailable,
    UnsupportedEngine,
    UnsupportedRuntime,
    WeightsDigestMismatch,
    WeightsMissing,
    WeightsUnreadable,
)
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.v1.entity_tags import tagged
from streamer.api.v1.person_views import Operator, Viewer
from streamer.errors import DataFolderUnwritable, ModelNotSwitched, PeopleNotCovered
from streamer.model_layer.choosing import ModelChooser
from streamer.model_layer.described import Described, best_of
from streamer.model_layer.layer import ModelLayer

ModelName = Annotated[
    str, Path(min_length=1, max_length=200, description="a model's name or alias", examples=["nano_embed"])
]
_EXAMPLE: dict[str, Any] = {
    "name": "nano_embed",
    "version": "2",
    "kind": "embedder",
    "family": "nano",
    "engine": "onnx",
    "runtime": "inprocess",
    "precision": "int8",
    "available": True,
    "code": None,
    "why_not": None,
    "serving": True,
    "device": "cpu",
    "space": "nano_embed.2",
    "licence": "MIT",
    "item_ms": 2.4,
    "item_ms_from": "here",
    "memory_mib": 60.0,
    "held_mib": 48.5,
}
_UNUSABLE = (
    WeightsMissing,
    WeightsDigestMismatch,
    WeightsUnreadable,
    UnsupportedEngine,
    UnsupportedRuntime,
    SelfTestFailed,
    NetworkForbidden,
    InsufficientMemory,
    TritonUnavailable,
    TritonModelMismatch,
)


@dataclass(frozen=True, slots=True)
class InUse:
    """Of the running service. serving: model -> device, and the largest batch; held_mib: by model and device."""

    serving: dict[str, tuple[str, int]]
    held_mib: dict[tuple[str, str], float]

    @classmethod
    def of(cls, layer: ModelLayer) -> "InUse":
        seated = [served for switcher, served in layer.seated() if not switcher.vacant]
        serving = {served.name: (served.device, served.max_batch) for served in seated}
        return cls(serving, {(one.owner, one.device): one.held_mib for one in layer.manager.ledger.holdings()})


class ModelView(BaseModel):
    """`device`: where it serves, or would. `item_ms`, `memory_mib`: of a face (a picture) in the batch size in which it
    serves, else the best one there; null where nobody measured it. `item_ms_from`: measured `here`, or the `spec`'s.
    `held_mib`: how much more of that device's memory was taken when it was loaded into this service (of RAM: beside
    what others left behind, which it uses); null where it is not loaded, or is on a server.
    """

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE})

    name: str
    version: str
    kind: Literal["detector", "embedder"]
    family: str
    engine: str
    runtime: str
    precision: str
    available: bool
    code: str | None
    why_not: str | None
    serving: bool
    device: str
    space: str | None
    licence: str
    item_ms: float | None
    item_ms_from: Literal["here", "spec"] | None
    memory_mib: float | None
    held_mib: float | None

    @classmethod
    def of(cls, row: dict[str, Any], in_use: "InUse") -> "ModelView":
        availability = row["availability"]
        device, batch = in_use.serving.get(row["name"], (row["device"], None))
        figures = row["figures"].get(device, {})
        taken = figures.get(str(batch)) or best_of(figures) or {}
        held_mib = in_use.held_mib.get((row["name"], device))
        same = ("name", "kind", "family", "engine", "runtime", "precision", "space", "licence")
        return cls(
            **{key: row[key] for key in same},
            version=str(row["version"]),
            available=availability["ok"],
            code=availability["code"],
            why_not=availability["why"],
            serving=row["name"] in in_use.serving,
            device=device,
            item_ms=taken.get("item_ms"),
            item_ms_from=taken.get("run_ms_from"),
            memory_mib=taken.get("memory_mib"),
            held_mib=None if held_mib is None else round(held_mib, 1),
        )


class ModelList(BaseModel):
    """`free_mib`: by device, RAM as `cpu`: what another model could have of its memory now."""

    models: list[ModelView]
    free_mib: dict[str, float]


class ModelChosen(BaseModel):
    """`chosen`: by hand, null where the service chooses; `why`: that this one serves."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "chosen": "nano_embed",
                "serving": "nano_embed",
                "device": "cpu",
                "reason": "by_hand",
                "why": "nano_embed was chosen by hand",
                "signature": "5f0c3a9d1be2",
            }
        }
    )

    chosen: str | None
    serving: str
    device: str
    reason: str
    why: str
    signature: str


def routes(layer: ModelLayer, chooser: ModelChooser) -> APIRouter:
    models = APIRouter(prefix="/api/v1/models", tags=["models"])

    @models.get("", response_model=ModelList)
    async def list_models(caller: Viewer) -> ModelList:
        """Every model: whether it can be had here, where it would run, and which serve."""
        rows, free_mib = await asyncio.to_thread(_rows, layer)
        in_use = InUse.of(layer)
        return ModelList(models=[ModelView.of(row, in_use) for row in rows], free_mib=free_mib)

    @models.get("/{model}", response_model=ModelView, responses=problem_answers(ModelNotFound))
    async def show_model(model: ModelName, caller: Viewer, request: Request) -> Response:
        """One model, with an entity tag."""
        row = await asyncio.to_thread(_row, layer, model)
        return tagged(request, ModelView.of(row, InUse.of(layer)))

    @models.post(
        "/{model}/use",
        response_model=ModelChosen,
        responses=problem_answers(
            *OF_GALLERY, *_UNUSABLE, ModelNotFound, ModelNotSwitched, PeopleNotCovered, DataFolderUnwritable
        ),
    )
    async def use_model(model: ModelName, caller: Operator) -> ModelChosen:
        """Have an embedder serve the cameras, over restarts, too; `auto`: the service chooses. Answered then."""
        document = await chooser.use(model)
        chosen, embedder = document["by_hand"], document["embedder"]
        told = {key: embedder[key] for key in ("device", "reason", "why")}
        return ModelChosen(chosen=chosen, serving=embedder["name"], signature=str(document["signature"]), **told)

    return models


def _rows(layer: ModelLayer) -> tuple[list[dict[str, Any]], dict[str, float]]:
    free_mib = {device: round(mib, 1) for device, mib in layer.manager.ledger.room_mib().items()}
    return Described(layer.settings, layer.manager).rows(), free_mib


def _row(layer: ModelLayer, name: str) -> dict[str, Any]:
    described = Described(layer.settings, layer.manager)
    return described.row(described.manager.spec(name))
