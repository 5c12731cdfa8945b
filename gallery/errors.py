"""The gallery family of errors; the base and the rule for messages are in recognition/errors.py.

    GalleryError
    ├── PersonNotFound        person_not_found
    ├── PersonAmbiguous       person_ambiguous
    ├── NameInvalid           name_invalid
    ├── NameTaken             name_taken
    ├── ExternalIdTaken       external_id_taken
    ├── PersonIdTaken         person_id_taken
    ├── PersonForgotten       person_forgotten
    ├── ThresholdInvalid      threshold_invalid
    ├── FpirInvalid           fpir_invalid
    ├── CalibrationTooFew     calibration_too_few
    ├── CalibrationTooRare    calibration_too_rare
    ├── CalibrationUnreachable  calibration_unreachable
    ├── ImpostorModelInvalid  impostor_model_invalid
    ├── PhotoNotFound         photo_not_found
    ├── NegativeNotFound      negative_not_found
    ├── NegativeRefused       negative_refused
    ├── MergeRefused          merge_refused
    ├── SplitRefused          split_refused
    ├── EnrolledAlready       enrolled_already
    ├── NoPhotoAccepted       no_photo_accepted
    ├── EnrolmentListMissing  enrolment_list_missing
    ├── EnrolmentListInvalid  enrolment_list_invalid
    ├── NamesAlike            names_alike          (of a list's people; the others go on)
    ├── GalleryMissing        gallery_missing      (deleted while the service runs)
    ├── GalleryTooNew         gallery_too_new
    ├── GalleryInUse          gallery_in_use       (by a service of the version before)
    ├── GalleryUnreadable     gallery_unreadable
    ├── GallerySealBroken     gallery_seal_broken  (bytes of somebody were changed)
    ├── GalleryUnwritable     gallery_unwritable   (retryable: a full disk may get room again)
    ├── BackupUnreadable      backup_unreadable
    ├── AuditBroken           audit_broken
    ├── ConsentInvalid        consent_invalid
    ├── PersonFileMissing     person_file_missing
    ├── PersonFileInvalid     person_file_invalid
    ├── PersonFileOutdated    person_file_outdated
    ├── PersonFileTooNew      person_file_too_new
    ├── TargetExists          target_exists
    ├── TargetUnwritable      target_unwritable
    ├── RerankInputInvalid    rerank_input_invalid
    ├── RerankLibraryUnusable rerank_library_unusable
    ├── RerankFailed          rerank_failed
    └── MasterKeyError
        ├── MasterKeyMissing      master_key_missing
        └── MasterKeyWrong        master_key_wrong

Of a trained classifier: gallery/classifier/errors.py.

A photo's own faults are recognition's ImageError family, and these, which a gate raises for one photo:

    PhotoRefused
    ├── NoFace                no_face
    ├── SeveralFaces          several_faces
    ├── QualityTooLow         quality_too_low
    ├── FaceNotUpright        face_not_upright
    ├── FaceDoubtful          face_doubtful
    ├── PersonDiffers         person_differs
    ├── OtherPerson           other_person
    ├── FaceDenied            face_denied
    ├── PhotoMisplaced        photo_misplaced
    ├── RowInvalid            row_invalid
    └── InferenceFailed       inference_failed   (tried again before it is raised)
"""

from collections.abc import Sequence
from pathlib import Path

from recognition.errors import CodedError


class GalleryError(CodedError):
    code = "gallery_error"


class PersonNotFound(GalleryError):
    code = "person_not_found"


class PersonAmbiguous(GalleryError):
    code = "person_ambiguous"


class NameInvalid(GalleryError):
    code = "name_invalid"


class NameTaken(GalleryError):
    """Somebody has this name already, or one that differs by capitals or blanks alone."""

    code = "name_taken"


class ExternalIdTaken(GalleryError):
    """Somebody else has this external id already."""

    code = "external_id_taken"


class PersonIdTaken(GalleryError):
    """Who is imported is here already."""

    code = "person_id_taken"


class PersonForgotten(GalleryError):
    """Who is imported was forgotten here, and stays so."""

    code = "person_forgotten"


class ThresholdInvalid(GalleryError):
    code = "threshold_invalid"


class FpirInvalid(GalleryError):
    code = "fpir_invalid"


class CalibrationTooFew(GalleryError):
    """Thresholds are computed from how alike different people are, and there are no two."""

    code = "calibration_too_few"


class CalibrationTooRare(GalleryError):
    """The rate is rarer than the comparisons at hand can tell."""

    code = "calibration_too_rare"


class CalibrationUnreachable(GalleryError):
    """People's own thresholds alone let more strangers through than was asked for."""

    code = "calibration_unreachable"


class ImpostorModelInvalid(GalleryError):
    """The measured scores of an embedder's strangers, which come with the project, can't be read."""

    code = "impostor_model_invalid"


class PhotoNotFound(GalleryError):
    code = "photo_not_found"


class NegativeNotFound(GalleryError):
    """Nobody has said of this face that it is not that person, or it was taken back."""

    code = "negative_not_found"


class NegativeRefused(GalleryError):
    """That this face is not a person can't be kept: it is one of the person's own, or there is nothing to compare."""

    code = "negative_refused"


class MergeRefused(GalleryError):
    """These two can't be made one person as they are; nothing was changed."""

    code = "merge_refused"


class SplitRefused(GalleryError):
    """These photos can't be made another person's; nothing was changed."""

    code = "split_refused"


class EnrolledAlready(GalleryError):
    """The photos show somebody who is enrolled under another name."""

    code = "enrolled_already"


class NoPhotoAccepted(GalleryError):
    """Nothing was written. `refused` has each photo's path, code and reason, in the order given."""

    code = "no_photo_accepted"

    def __init__(self, message: str, refused: Sequence[tuple[Path, str, str]] = ()) -> None:
        super().__init__(message)
        self.refused = tuple(refused)


class EnrolmentListMissing(GalleryError):
    code = "enrolment_list_missing"


class EnrolmentListInvalid(GalleryError):
    """A folder or a ZIP of nobody's photos, or a CSV that can't be read; nobody was enrolled."""

    code = "enrolment_list_invalid"


class NamesAlike(GalleryError):
    """Several people of a list have names that differ by capitals, blanks or underscores alone."""

    code = "names_alike"


class GalleryMissing(GalleryError):
    code = "gallery_missing"


class GalleryTooNew(GalleryError):
    code = "gallery_too_new"


class GalleryInUse(GalleryError):
    """A service of the version before has it open, which could not go on once it is brought up to date."""

    code = "gallery_in_use"


class GalleryUnreadable(GalleryError):
    code = "gallery_unreadable"


class GallerySealBroken(GalleryError):
    """What is kept of somebody does not open with the gallery's key, which is the right one: its bytes were changed."""

    code = "gallery_seal_broken"


class GalleryUnwritable(GalleryError):
    code = "gallery_unwritable"
    retryable = True


class BackupUnreadable(GalleryError):
    """It is not there, is no backup, or is damaged; the gallery is as it was."""

    code = "backup_unreadable"


class AuditBroken(GalleryError):
    """An entry was changed, or is missing."""

    code = "audit_broken"


class ConsentInvalid(GalleryError):
    """Its date is in the past or can't be read, or it says too little."""

    code = "consent_invalid"


class PersonFileMissing(GalleryError):
    code = "person_file_missing"


class PersonFileInvalid(GalleryError):
    """A ZIP that is not what people export wrote, or was damaged since."""

    code = "person_file_invalid"


class PersonFileOutdated(GalleryError):
    """A ZIP of somebody whose photos are older than people are kept here: the next purge would erase the person."""

    code = "person_file_outdated"


class PersonFileTooNew(GalleryError):
    code = "person_file_too_new"


class TargetExists(GalleryError):
    """A file is written to a free name alone."""

    code = "target_exists"


class TargetUnwritable(GalleryError):
    code = "target_unwritable"


class RerankInputInvalid(GalleryError):
    """A probe or candidates that have no direction, no common length, or are too many."""

    code = "rerank_input_invalid"


class RerankLibraryUnusable(GalleryError):
    """A user's own kernel can't be loaded, or did not pass its self-test."""

    code = "rerank_library_unusable"


class RerankFailed(GalleryError):
    """A user's own kernel gave an error, or no scores."""

    code = "rerank_failed"


class MasterKeyError(GalleryError):
    """Nothing can be opened, and nothing was written, neither the gallery nor a key."""

    code = "master_key_error"


class MasterKeyMissing(MasterKeyError):
    """It is not where it should be, or can't be read."""

    code = "master_key_missing"


class MasterKeyWrong(MasterKeyError):
    """What is there is another key, or none at all."""

    code = "master_key_wrong"


class PhotoRefused(GalleryError):
    code = "photo_refused"


class NoFace(PhotoRefused):
    code = "no_face"


class SeveralFaces(PhotoRefused):
    code = "several_faces"


class QualityTooLow(PhotoRefused):
    code = "quality_too_low"


class FaceNotUpright(PhotoRefused):
    """Upside down or on its side, and no turn of the photo mends it."""

    code = "face_not_upright"


class FaceDoubtful(PhotoRefused):
    """A detector found it, but hardly a face: a second look did not confirm it."""

    code = "face_doubtful"


class PersonDiffers(PhotoRefused):
    """The face resembles none of the other photos enrolled under the name."""

    code = "person_differs"


class OtherPerson(PhotoRefused):
    """The face is rather somebody's who is enrolled under another name."""

    code = "other_person"


class FaceDenied(PhotoRefused):
    """Of another face like this one it was said that it is not the person."""

    code = "face_denied"


class PhotoMisplaced(PhotoRefused):
    """Where it lies in a folder or a ZIP does not say whose it is."""

    code = "photo_misplaced"


class RowInvalid(PhotoRefused):
    """A row of a CSV that is not one person and one photo."""

    code = "row_invalid"


class InferenceFailed(PhotoRefused):
    """A model gave no answer for this photo, however often it was asked; others may get one."""

    code = "inference_failed"
