"""What can go wrong while training; each is refused with one line."""

from recognition.errors import CodedError


class TrainingError(CodedError):
    """Base of the family."""

    code = "training_failed"


class TrainingDiverged(TrainingError):
    """A loss became infinite or no number."""

    code = "training_diverged"
