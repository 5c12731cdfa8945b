"""ImpostorModel: how alike strangers look to an embedder, measured on a public photo set, as a file of quantiles.

model/impostors/<space>.yaml, written by scripts/make-impostor-model.py. Rates of whole populations: no face, no
embedding and no score of anybody is in it. Blocks for one small file; what it gives is pure.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gallery.errors import ImpostorModelInvalid
from gallery.matching.aggregation import Aggregation
from gallery.matching.tails import Tail
from recognition.specs.files import bundled

_Rate = Annotated[float, Field(gt=0, lt=1)]
_Cosine = Annotated[float, Field(ge=-1, le=1)]
# By so many templates of a person: falling rates' cosines, rising; the rarest rates are left out where too few tell.
_Quantiles = Mapping[int, tuple[_Cosine, ...]]
# At these rates the shape of a tail is told apart from where it lies and how wide it is.
_MIDDLE, _FAR = 0.3, 0.01


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    space: str
    detector: str
    min_quality: float
    measured_on: str
    comparisons: Annotated[int, Field(ge=1)]
    rates: tuple[_Rate, ...]
    impostor: Mapping[Aggregation, _Quantiles]
    shares: tuple[_Rate, ...]
    genuine: Mapping[Aggregation, _Quantiles]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for table, rates in ((self.impostor, self.rates), (self.genuine, self.shares)):
            for by_photos in table.values():
                if 1 not in by_photos or any(not 2 <= len(row) <= len(rates) for row in by_photos.values()):
                    raise ValueError("want quantiles for 1 template, and no more cosines than rates")
        return self


@dataclass(frozen=True, slots=True, eq=False)
class ImpostorModel:
    """`comparisons`: of how many pairs of photos it was made. `digest`: another one whenever its figures are.

    `tails` and `genuine`: by aggregation and by how many templates a person has, one among them, the rates at which a
    probe that is somebody else, or is that person, reaches a cosine.
    """

    space: str
    measured_on: str
    comparisons: int
    digest: str
    tails: Mapping[Aggregation, Mapping[int, Tail]]
    genuine: Mapping[Aggregation, Mapping[int, Tail]]

    def impostor_tail(self, how: Aggregation, templates: Iterable[int]) -> Tail:
        """How often a stranger reaches a cosine with one of these people, who have so many templates; the mean."""
        return _mean(self.tails[how], templates)

    def genuine_tail(self, how: Aggregation, templates: Iterable[int]) -> Tail:
        """How often people themselves do."""
        return _mean(self.genuine[how], templates)

    def moved(self, shift: float, scale: float = 1.0) -> "ImpostorModel":
        """For scores that are shift + scale * these; strangers' alone."""
        tails = {how: {n: tail.moved(shift, scale) for n, tail in table.items()} for how, table in self.tails.items()}
        return ImpostorModel(self.space, self.measured_on, self.comparisons, self.digest, tails, self.genuine)


def _mean(table: Mapping[int, Tail], templates: Iterable[int]) -> Tail:
    counts = Counter(templates)
    return Tail.mean([_of(table, number) for number in counts], list(counts.values()))


def _of(table: Mapping[int, Tail], templates: int) -> Tail:
    """Between two numbers that were measured, and beyond the last, straight over the number's logarithm."""
    if templates in table or len(table) == 1:
        return table[templates if templates in table else 1]
    known = sorted(table)
    above = next((place for place, number in enumerate(known) if number > templates), len(known) - 1)
    lower, upper = known[above - 1], known[above]
    part = (math.log(templates) - math.log(lower)) / (math.log(upper) - math.log(lower))
    return table[lower].powered(part, table[upper])


def read_model(file: Path) -> ImpostorModel:
    """Raises ImpostorModelInvalid where it can't be read or is none."""
    try:
        text = file.read_bytes()
        found = _File.model_validate(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        return ImpostorModel(
            found.space,
            found.measured_on,
            found.comparisons,
            hashlib.sha256(text).hexdigest()[:16],
            {how: _tails(table, found.rates) for how, table in found.impostor.items()},
            {how: _tails(table, found.shares) for how, table in found.genuine.items()},
        )
    except OSError as error:
        raise ImpostorModelInvalid(f"impostor model {file} can't be read ({error.strerror}); install anew") from None
    except (yaml.YAMLError, ValidationError, ValueError):
        raise ImpostorModelInvalid(
            f"impostor model {file} is broken; write it anew with scripts/make-impostor-model.py, or install anew"
        ) from None


def _tails(table: _Quantiles, rates: tuple[float, ...]) -> dict[int, Tail]:
    """What more templates have too few comparisons to tell goes on as that of one template does."""
    single = Tail.through(table[1], rates[: len(table[1])])
    tails = {1: single}
    for number, cosines in table.items():
        if number == 1:
            continue
        tail = Tail.through(cosines, rates[: len(cosines)])
        known, last = rates[len(cosines) - 1], cosines[-1]
        onwards = single.rates * (known / max(single.at(last), known * 1e-3))
        tails[number] = Tail(
            np.minimum.accumulate(np.where(tail.rates < known, np.minimum(onwards, known), tail.rates))
        )
    return tails


@cache
def bundled_model(space: str) -> ImpostorModel | None:
    """None where nobody measured the embedder of this space. Raises ImpostorModelInvalid."""
    file = bundled("impostors") / f"{space}.yaml"
    return read_model(file) if file.is_file() else None


@cache
def usual_shape() -> ImpostorModel:
    """For an embedder that nobody measured: the heaviest tail of all that were, from 0 (what 30 % of strangers reach)
    to 1 (1 %); its people's own scores say where these two lie. `moved` makes cosines of it.
    """
    models = [read_model(file) for file in sorted(bundled("impostors").glob("*.yaml"))]
    standard = []
    for model in models:
        single = model.tails["best"][1]
        middle, far = single.cosine_at(_MIDDLE), single.cosine_at(_FAR)
        # Halved, so that the far end of the tail stays on the grid.
        scale = 0.25 / (far - middle)
        standard.append(model.moved(-middle * scale, scale))
    tails: dict[Aggregation, Mapping[int, Tail]] = {}
    for how in models[0].tails:
        numbers = models[0].tails[how]
        tails[how] = {n: Tail(np.max([one.tails[how][n].rates for one in standard], axis=0)) for n in numbers}
    return ImpostorModel("", "the heaviest tail of all models that were measured", 0, "", tails, {})
