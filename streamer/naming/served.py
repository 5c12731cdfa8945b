"""The classifier that serves: loaded off the loop, loaded again when another one was trained or somebody forgotten.

The folder of `paths.classifier` in, NamedClasses out, or why there are none. On the event loop; the files are read on
a thread.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from gallery.classifier import folder as files_of
from gallery.classifier.classifier import NamedClasses, PersonClassifier
from gallery.classifier.errors import ClassifierUnavailable
from gallery.people import Profile
from recognition.errors import CodedError
from streamer.telemetry.metrics import Metrics
from streamer.telemetry.once_log import OnceLog

log = logging.getLogger(__name__)

POLL_S = 1.0


class ServedClassifier:
    """`named`: what cameras may be named by now; None where there is none, see `trouble`. `is_wanted`: some camera asks
    for it; until then nothing is loaded.
    """

    def __init__(self, folder: Path, metrics: Metrics, changed: Callable[[], None]) -> None:
        """`changed` is called whenever another one was loaded, or none can be any more."""
        self.is_wanted = False
        self.named: NamedClasses | None = None
        self.trouble: CodedError | None = None
        self._folder = folder
        self._metrics = metrics
        self._changed = changed
        self._loaded: PersonClassifier | None = None
        self._seen: object = None
        self._profiles: Mapping[str, Profile] = {}
        self._forgotten: frozenset[str] = frozenset()
        self._once = OnceLog(log)

    async def look(self) -> None:
        """Load what lies there, if it is wanted and another than was seen last."""
        if not self.is_wanted:
            return
        seen = await asyncio.to_thread(files_of.stamp, self._folder)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._loaded = await asyncio.to_thread(load_classifier, self._folder, self._forgotten)
        except CodedError as error:
            self._loaded, self.trouble = None, error
            self._once.say("classifier", str(error), logging.ERROR, "%s", error, code=error.code)
        else:
            self.trouble = None
            self._once.over("classifier")
        self._name()
        self._changed()
        if self.named is not None:
            classifier, count = self.named.classifier, len(self.named.people)
            told = "classifier of %s, %s: %d of its %d people are in the gallery"
            log.info(told, classifier.trained_at, classifier.run_id, count, len(self.named.owners))

    async def follow(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    def people_changed(self, profiles: Mapping[str, Profile], forgotten: frozenset[str]) -> None:
        """Who is enrolled now, and who was forgotten, ever. A classifier that knows one of these is used no more."""
        self._profiles = profiles
        if forgotten != self._forgotten:
            self._forgotten, self._seen = forgotten, None
            if self._loaded is not None and not forgotten.isdisjoint(self._loaded.person_ids):
                self._loaded = None
        self._name()

    def _name(self) -> None:
        self.named = None if self._loaded is None else NamedClasses.of(self._loaded, self._profiles)
        self._metrics.classifier_people.set(0 if self.named is None else len(self.named.people))


def load_classifier(folder: Path, forgotten: frozenset[str], space: str | None = None) -> PersonClassifier:
    """Blocks. Raises what artifacts.load() raises, ClassifierUnavailable without scikit-learn."""
    if find_spec("sklearn") is None:
        raise ClassifierUnavailable("a trained classifier needs scikit-learn; pip install 'whosthere[classifier]'")
    from gallery.classifier.artifacts import load

    return load(folder, serving=space, forgotten=forgotten)
