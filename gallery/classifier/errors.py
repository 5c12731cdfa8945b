"""The family of errors of a trained classifier; the base and the rule for messages are in recognition/errors.py.

ClassifierError
├── TrainingSourceUnusable  training_source_unusable
├── TrainingSourceLocked  training_source_locked   (retryable: another program writes it)
├── TrainingImpossible    training_impossible
├── ClassifierMissing     classifier_missing
├── ClassifierDamaged     classifier_damaged
├── ClassifierOutdated    classifier_outdated
├── ClassifierStale       classifier_stale
└── ClassifierUnavailable  classifier_unavailable
"""

from gallery.errors import GalleryError


class ClassifierError(GalleryError):
    code = "classifier_error"


class TrainingSourceUnusable(ClassifierError):
    """No such file, no SQLite database, without the table or its columns."""

    code = "training_source_unusable"


class TrainingSourceLocked(ClassifierError):
    code = "training_source_locked"
    retryable = True


class TrainingImpossible(ClassifierError):
    """Fewer than two people have two usable photos."""

    code = "training_impossible"


class ClassifierMissing(ClassifierError):
    """There is none, or not all of it."""

    code = "classifier_missing"


class ClassifierDamaged(ClassifierError):
    """A file is not the one that was written, or not of this run."""

    code = "classifier_damaged"


class ClassifierOutdated(ClassifierError):
    """It was made by another version of scikit-learn, or of this program, than would load it."""

    code = "classifier_outdated"


class ClassifierStale(ClassifierError):
    """Somebody whom it knows was forgotten."""

    code = "classifier_stale"


class ClassifierUnavailable(ClassifierError):
    """scikit-learn is not installed."""

    code = "classifier_unavailable"
