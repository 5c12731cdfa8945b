"""The base of every error that a user can meet, and the recognition family.

    CodedError
    ├── RecognitionError
    │   ├── SpecInvalid               spec_invalid
    │   ├── ModelNotFound             model_not_found
    │   ├── WeightsMissing            weights_missing
    │   ├── WeightsDigestMismatch     weights_digest_mismatch
    │   ├── WeightsUnreadable         weights_unreadable
    │   ├── CheckpointInvalid         checkpoint_invalid
    │   ├── UnsupportedRuntime        unsupported_runtime
    │   ├── UnsupportedEngine         unsupported_engine
    │   ├── NetworkForbidden          network_forbidden
    │   ├── EmbeddingUnusable         embedding_unusable
    │   ├── SelfTestFailed            self_test_failed
    │   ├── EmbeddingSpaceMismatch    embedding_space_mismatch
    │   ├── LicenceNotAccepted        licence_not_accepted
    │   ├── DownloadFailed            download_failed       (retryable)
    │   ├── DownloadRefused           download_refused
    │   ├── ArchiveInvalid            archive_invalid
    │   ├── WeightsFolderUnwritable   weights_folder_unwritable
    │   ├── RepositoryExists          repository_exists
    │   ├── Overloaded                overloaded            (retryable)
    │   ├── RunnerDead                runner_dead
    │   ├── NoModelServes             no_model_serves       (retryable)
    │   ├── TritonUnavailable         triton_unavailable    (retryable)
    │   ├── TritonModelMismatch       triton_model_mismatch
    │   ├── InsufficientMemory        insufficient_memory       (retryable)
    │   │   └── InsufficientGpuMemory insufficient_gpu_memory   (retryable)
    │   ├── GpuFailed                 gpu_failed            (retryable)
    │   ├── MeasurementFailed         measurement_failed
    │   ├── FiguresUnwritable         figures_unwritable
    │   ├── EvaluationError
    │   │   ├── PhotoSetInvalid       photo_set_invalid
    │   │   ├── PairsInvalid          pairs_invalid
    │   │   ├── ClipUnreadable        clip_unreadable
    │   │   └── PlotsUnavailable      plots_unavailable
    │   └── TrainingError
    │       ├── TrainingUnavailable   training_unavailable
    │       ├── TrainingDiverged      training_diverged
    │       └── RunMismatch           run_mismatch
    ├── ImageError
    │   ├── ImageMissing              image_missing
    │   ├── ImageEmpty                image_empty
    │   ├── ImageUnreadable           image_unreadable
    │   │   ├── ImageCutShort         image_cut_short
    │   │   └── ImageKindUnsupported  image_kind_unsupported
    │   └── ImageTooLarge             image_too_large
    ├── GalleryError                  (gallery/errors.py)
    └── StreamerError                 (streamer/errors.py)

`code` is stable: it is the log field, the metric label and the body of an HTTP error. The message is one
line: what was wrong, where, what to do; never a secret. `retryable` says whether trying again soon may help.
"""

from typing import ClassVar


class CodedError(Exception):
    """Something that the world did (a file, a camera, a broker); anything else that is raised is our bug."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False


class RecognitionError(CodedError):
    code = "recognition_error"


class SpecInvalid(RecognitionError):
    code = "spec_invalid"


class ModelNotFound(RecognitionError):
    code = "model_not_found"


class WeightsMissing(RecognitionError):
    code = "weights_missing"


class WeightsDigestMismatch(RecognitionError):
    code = "weights_digest_mismatch"


class WeightsUnreadable(RecognitionError):
    code = "weights_unreadable"


class CheckpointInvalid(RecognitionError):
    """A file that is to be converted: of another architecture, damaged, or no checkpoint."""

    code = "checkpoint_invalid"


class UnsupportedRuntime(RecognitionError):
    code = "unsupported_runtime"


class UnsupportedEngine(RecognitionError):
    code = "unsupported_engine"


class NetworkForbidden(RecognitionError):
    """A thread that loads a model reached for the network."""

    code = "network_forbidden"


class EmbeddingUnusable(RecognitionError):
    """An embedder gave NaN, infinity or zeros for a face."""

    code = "embedding_unusable"


class SelfTestFailed(RecognitionError):
    code = "self_test_failed"


class EmbeddingSpaceMismatch(RecognitionError):
    code = "embedding_space_mismatch"


class LicenceNotAccepted(RecognitionError):
    code = "licence_not_accepted"


class DownloadFailed(RecognitionError):
    """The network or the server; what was fetched so far stays."""

    code = "download_failed"
    retryable = True


class DownloadRefused(RecognitionError):
    """What came is not what the catalogue says, or would come over an unsafe way."""

    code = "download_refused"


class ArchiveInvalid(RecognitionError):
    code = "archive_invalid"


class WeightsFolderUnwritable(RecognitionError):
    code = "weights_folder_unwritable"


class RepositoryExists(RecognitionError):
    """What would be written over is there: a Triton server may be reading it."""

    code = "repository_exists"


class Overloaded(RecognitionError):
    """The batch queue is full: the caller drops its frame and counts it."""

    code = "overloaded"
    retryable = True


class RunnerDead(RecognitionError):
    """The runner behind a batch queue failed; nobody will be served by it any more."""

    code = "runner_dead"


class InsufficientMemory(RecognitionError):
    """A model does not fit into what is left of the RAM; other programs may give some back."""

    code = "insufficient_memory"
    retryable = True


class InsufficientGpuMemory(InsufficientMemory):
    code = "insufficient_gpu_memory"


class MeasurementFailed(RecognitionError):
    """The process that measured a model ended without an answer, or gave none in time."""

    code = "measurement_failed"


class FiguresUnwritable(RecognitionError):
    """What was measured on this machine can't be kept."""

    code = "figures_unwritable"


class GpuFailed(RecognitionError):
    """A run failed on a GPU for another reason than memory; the CPU may do it."""

    code = "gpu_failed"
    retryable = True


class NoModelServes(RecognitionError):
    """A role's model can serve no more, and none has taken its place yet; one may soon."""

    code = "no_model_serves"
    retryable = True


class TritonUnavailable(RecognitionError):
    """The server is down, hangs or is without the model; the same runner may be asked again."""

    code = "triton_unavailable"
    retryable = True


class TritonModelMismatch(RecognitionError):
    """What the server has under the model's name and version is not what the spec describes."""

    code = "triton_model_mismatch"


class EvaluationError(RecognitionError):
    code = "evaluation_error"


class PhotoSetInvalid(EvaluationError):
    code = "photo_set_invalid"


class PairsInvalid(EvaluationError):
    code = "pairs_invalid"


class ClipUnreadable(EvaluationError):
    code = "clip_unreadable"


class PlotsUnavailable(EvaluationError):
    code = "plots_unavailable"


class TrainingError(RecognitionError):
    code = "training_error"


class TrainingUnavailable(TrainingError):
    code = "training_unavailable"


class TrainingDiverged(TrainingError):
    """A loss became infinite or no number."""

    code = "training_diverged"


class RunMismatch(TrainingError):
    """The folder holds the checkpoint of another run: other data, another teacher, another network."""

    code = "run_mismatch"


class ImageError(CodedError):
    code = "image_error"


class ImageMissing(ImageError):
    code = "image_missing"


class ImageEmpty(ImageError):
    code = "image_empty"


class ImageUnreadable(ImageError):
    code = "image_unreadable"


class ImageCutShort(ImageUnreadable):
    """The file ends before the picture does: a copy or a download that was not finished."""

    code = "image_cut_short"


class ImageKindUnsupported(ImageUnreadable):
    """A photo of a kind that is not read, or that can't be turned as it says."""

    code = "image_kind_unsupported"


class ImageTooLarge(ImageError):
    code = "image_too_large"
