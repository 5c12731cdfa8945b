"""What is behind the stateless routes, made once a process: with cameras, or for the API alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from gallery.matching.rerank import Reranker
from streamer.inference.crop_links import CropLinks
from streamer.inference.engine import InferenceEngine
from streamer.inference.face_recognition import FaceRecognition
from streamer.model_layer.choosing import ModelChooser
from streamer.model_layer.layer import ModelLayer
from streamer.pipeline.match_policy import MatchPolicy
from streamer.settings import HttpSettings, Settings


@dataclass(frozen=True, slots=True, eq=False)
class Inference:
    engine: InferenceEngine
    faces: FaceRecognition
    crops: CropLinks
    chooser: ModelChooser
    reranker: Reranker
    http: HttpSettings

    @classmethod
    def of(
        cls,
        settings: Settings,
        models: ModelLayer,
        reranker: Reranker,
        known: Callable[[str], MatchPolicy | None] = lambda _: None,
    ) -> Self:
        """known(embedder): how its faces are judged, where a gallery says that; else as settings and spec have it."""
        recogniser = models.recogniser
        engine = InferenceEngine(recogniser, settings.http.embeddings.max_requests)
        faces = FaceRecognition(
            engine, recogniser, settings, lambda spec: known(spec.name) or MatchPolicy.of(settings, spec, recogniser)
        )
        crops = CropLinks(settings.http.embeddings.crop_link_s)
        return cls(engine, faces, crops, ModelChooser(models), reranker, settings.http)

    def forget(self) -> None:
        """Somebody is forgotten, whose face may be among those that came."""
        self.faces.forget()
        self.crops.clear()
