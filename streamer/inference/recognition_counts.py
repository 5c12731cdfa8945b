"""What was answered under /api/v1/face-recognition since the start of this process. On the loop."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["extract", "compare", "match"]


@dataclass(slots=True)
class RecognitionCounts:
    """`matches`: comparisons in which somebody was a match; `models`: answers by the model that they are of."""

    kinds: Counter[Kind] = field(default_factory=Counter)
    matches: int = 0
    seconds: float = 0.0
    models: Counter[str] = field(default_factory=Counter)

    def answered(self, kind: Kind, seconds: float, model: str | None, *, matched: bool = False) -> None:
        """model: None where it was not said whose embeddings they are."""
        self.kinds[kind] += 1
        self.seconds += seconds
        self.matches += matched
        if model is not None:
            self.models[model] += 1

    @property
    def recognitions(self) -> int:
        """All answers."""
        return self.kinds.total()

    @property
    def match_rate(self) -> float:
        """Of all answers."""
        return self.matches / self.recognitions if self.recognitions else 0.0

    @property
    def mean_seconds(self) -> float:
        return self.seconds / self.recognitions if self.recognitions else 0.0
