"""A fitted classifier <-> bytes: the same bytes for the same numbers, and nothing unpickled but what it is made of."""

import io
import pickle
from typing import Any

import numpy as np

from gallery.classifier.errors import ClassifierDamaged
from gallery.classifier.fitting import Fitted

_PROTOCOL = 5
_PARTS = ("scaler", "classifier", "calibrated", "calibrated_labels", "means")
# Whatever else a pickle asks for is refused: a pickle may call what it names.
_MADE_OF = {
    "builtins": {"dict", "list", "tuple", "set"},
    "numpy": {"dtype", "ndarray"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "sklearn.calibration": {"CalibratedClassifierCV", "_CalibratedClassifier", "_TemperatureScaling"},
    "sklearn.neighbors._classification": {"KNeighborsClassifier"},
    "sklearn.neighbors._nearest_centroid": {"NearestCentroid"},
    "sklearn.preprocessing._data": {"StandardScaler"},
    "sklearn.svm._classes": {"SVC"},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as its parent has it
        if name not in _MADE_OF.get(module, ()):
            raise pickle.UnpicklingError(f"asks for {module}.{name}")
        return super().find_class(module, name)


def pickled(fitted: Fitted) -> bytes:
    """The same bytes for the same numbers."""
    parts = {name: getattr(fitted, name) for name in _PARTS}
    # What objects have in common shows in a pickle, and hangs on how they came about: once read back they all came so.
    return _dumped(_read(_dumped(parts)))


def unpickled(packed: bytes, classes: int, dim: int) -> Fitted:
    """Of so many classes and numbers an embedding. Raises ClassifierDamaged."""
    try:
        parts = _read(packed)
        fitted = Fitted(**{name: parts[name] for name in _PARTS})
        fits = fitted.means.shape == (classes, dim) and fitted.scaler.n_features_in_ == dim
        fits = fits and np.array_equal(fitted.classifier.classes_, np.arange(classes))
    except (
        pickle.UnpicklingError,
        EOFError,
        AttributeError,
        ImportError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise ClassifierDamaged(f"classifier.pkl holds no classifier ({error}); train anew") from None
    if not fits:
        raise ClassifierDamaged("classifier.pkl is of other people or another network than its neighbours; train anew")
    return fitted


def _dumped(parts: object) -> bytes:
    return pickle.dumps(parts, protocol=_PROTOCOL)


def _read(packed: bytes) -> dict[str, Any]:
    parts: dict[str, Any] = _Unpickler(io.BytesIO(packed)).load()
    return parts
