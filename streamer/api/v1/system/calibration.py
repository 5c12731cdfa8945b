"""/api/v1/calibration: from which cosine on people are named, and the rate of false names behind it. On the loop."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from gallery.errors import CalibrationTooFew, CalibrationTooRare, CalibrationUnreachable, FpirInvalid
from gallery.matching.space_policy import Standing, State
from gallery.storage.store import PersonStore
from recognition.errors import ModelNotFound
from recognition.models.manager import ModelManager
from streamer.api.gallery_desk import GalleryDesk, actor_of
from streamer.api.problem_answers import OF_GALLERY, problem_answers
from streamer.api.v1.person_views import Operator, Viewer
from streamer.model_layer.calibrating import standings
from streamer.people.calibrated import calibrated
from streamer.settings import Settings

_STANDING: dict[str, Any] = {
    "state": "used",
    "told": "nano_embed.2: threshold 0.402, calibrated for FPIR 0.001 with 12 people, about 0.0011 now",
    "threshold": 0.402,
    "expected_fpir": 0.0011,
    "expected_fnir": 0.04,
}
_SPACE: dict[str, Any] = {
    "threshold": 0.402,
    "expected_fpir": 0.001,
    "expected_fnir": 0.04,
    "used_threshold": 0.402,
    "embedder": "nano_embed",
    "people": 12,
    "templates": 40,
    "pairs": 740,
    "measured": True,
    "shift": 0.01,
    "aggregation": "class_mean",
    "margin": 0.05,
    "curve": [{"threshold": 0.4, "fpir": 0.00102, "fnir": 0.0398}],
}


class StandingView(BaseModel):
    """How a space's calibration stands; `told` says it in words, `expected_fpir` is null where nobody can tell.
    `expected_fnir`: as it was when the threshold in use was computed; null where it was not.
    """

    model_config = ConfigDict(json_schema_extra={"example": _STANDING})

    state: State
    told: str
    threshold: float
    expected_fpir: float | None
    expected_fnir: float | None

    @classmethod
    def of(cls, found: Standing) -> "StandingView":
        return cls(
            state=found.state,
            told=found.told,
            threshold=found.threshold,
            expected_fpir=found.expected_fpir,
            expected_fnir=found.expected_fnir,
        )


class StandingsView(BaseModel):
    spaces: dict[str, StandingView]


class CalibrationAsked(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"fpir": 0.001, "dry_run": True}})

    fpir: float = Field(
        default=0.001, gt=0, lt=1, allow_inf_nan=False, description="so large a share of strangers may be named"
    )
    dry_run: bool = Field(default=False, description="compute all of it, write nothing")


class RatesView(BaseModel):
    """The rates expected from this threshold on; `fnir` is null where nobody's own scores are known."""

    threshold: float
    fpir: float
    fnir: float | None


class SpaceView(BaseModel):
    """`threshold`: the calibration's; `used_threshold`: what counts, gallery.threshold where that is set; `curve`: the
    rates over thresholds from 0 to 1."""

    model_config = ConfigDict(json_schema_extra={"example": _SPACE})

    threshold: float
    expected_fpir: float
    expected_fnir: float | None
    used_threshold: float
    embedder: str
    people: int
    templates: int
    pairs: int
    measured: bool
    shift: float
    aggregation: str
    margin: float
    curve: list[RatesView]


class Failed(BaseModel):
    code: str
    why: str


class Named(BaseModel):
    id: str
    name: str


class LookAlikes(BaseModel):
    """`limits`: the margin alone keeps the two apart."""

    people: list[Named]
    space: str
    similarity: float
    limits: bool


class CalibrationView(BaseModel):
    """As `calibrate --json` tells it."""

    fpir: float
    people: int
    written: bool
    spaces: dict[str, SpaceView]
    not_calibrated: dict[str, Failed]
    look_alikes: list[LookAlikes]


def routes(desk: GalleryDesk, settings: Settings, manager: ModelManager) -> APIRouter:
    calibration = APIRouter(prefix="/api/v1/calibration", tags=["calibration"])

    @calibration.get("", response_model=StandingsView, responses=problem_answers(*OF_GALLERY))
    async def show_calibration(caller: Viewer) -> StandingsView:
        """What counts now in each space: the threshold, whence it is, and how many strangers it lets be named."""
        found = await desk.run(actor_of(caller), lambda store: standings(settings, manager, store))
        return StandingsView(spaces={space: StandingView.of(one) for space, one in found.items()})

    @calibration.post(
        "",
        response_model=CalibrationView,
        responses=problem_answers(
            *OF_GALLERY, CalibrationTooFew, CalibrationTooRare, CalibrationUnreachable, FpirInvalid, ModelNotFound
        ),
    )
    async def calibrate(asked: CalibrationAsked, caller: Operator) -> CalibrationView:
        """Compute the thresholds for this gallery and a rate of false names; the service goes by them at once."""

        def work() -> dict[str, Any]:
            with desk.opened(actor_of(caller)) as store:
                return _calibrated(store, asked)

        return CalibrationView.model_validate(await desk.slowly(work))

    def _calibrated(store: PersonStore, asked: CalibrationAsked) -> dict[str, Any]:
        return calibrated(settings, manager, store, asked.fpir, dry_run=asked.dry_run)

    return calibration
