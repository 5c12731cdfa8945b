"""What is wrong with a request of the API; the family is streamer/errors.py's, statuses are in problems.py.

StreamerError
└── RequestRefused
    ├── CursorInvalid             cursor_invalid
    ├── PreconditionFailed        precondition_failed
    ├── EmbeddingInvalid          embedding_invalid
    ├── IdempotencyKeyInvalid     idempotency_key_invalid
    ├── IdempotencyKeyBusy        idempotency_key_busy     (retryable)
    ├── IdempotencyKeyReused      idempotency_key_reused
    ├── TooManyImages             too_many_images
    └── CropGone                  crop_gone
"""

from streamer.errors import StreamerError


class RequestRefused(StreamerError):
    code = "request_refused"


class CursorInvalid(RequestRefused):
    code = "cursor_invalid"


class PreconditionFailed(RequestRefused):
    """If-Match names a state that is not the one now."""

    code = "precondition_failed"


class EmbeddingInvalid(RequestRefused):
    """An embedding in the request is no row of usable numbers, or not of the size that it must have."""

    code = "embedding_invalid"


class IdempotencyKeyInvalid(RequestRefused):
    """An Idempotency-Key that is none, or several."""

    code = "idempotency_key_invalid"


class IdempotencyKeyBusy(RequestRefused):
    """The first request with this Idempotency-Key is under way."""

    code = "idempotency_key_busy"
    retryable = True


class IdempotencyKeyReused(RequestRefused):
    """Another request had this Idempotency-Key before."""

    code = "idempotency_key_reused"


class TooManyImages(RequestRefused):
    """More images than http.embeddings.max_images come in one request."""

    code = "too_many_images"


class CropGone(RequestRefused):
    """The link to a face's crop has expired, or never was one of this process."""

    code = "crop_gone"
