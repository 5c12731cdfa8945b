"""The streamer family of errors; the base and the rule for messages are in recognition/errors.py.

    StreamerError
    ├── ConfigError
    │   ├── ConfigMissing             config_missing
    │   ├── ConfigUnreadable          config_unreadable
    │   ├── ConfigUnknownKey          config_unknown_key
    │   └── ConfigInvalid             config_invalid
    ├── CameraError
    │   ├── CameraUnknown             camera_unknown
    │   ├── CameraExists              camera_exists
    │   ├── CameraDisabled            camera_disabled
    │   ├── CameraVariableUnset       camera_variable_unset
    │   ├── CameraUnreachable         camera_unreachable     (retryable)
    │   ├── CameraLoginRefused        camera_login_refused
    │   ├── CameraNotFound            camera_not_found
    │   ├── CameraProtocolMissing     camera_protocol_missing
    │   ├── StreamHasNoVideo          stream_no_video
    │   ├── StreamInvalid             stream_invalid         (retryable)
    │   ├── StreamUnsupported         stream_unsupported
    │   ├── StreamResized             stream_resized         (counted and logged; the stream goes on)
    │   ├── StreamStalled             stream_stalled         (retryable)
    │   ├── StreamLost                stream_lost            (retryable)
    │   ├── PublisherPresent          publisher_present      (retryable)
    │   ├── CameraNotPublished        camera_not_published
    │   └── CamerasFixed              cameras_fixed
    ├── BrokerError
    │   ├── BrokerUnreachable         broker_unreachable     (retryable)
    │   ├── BrokerLoginRefused        broker_login_refused
    │   ├── BrokerTopicRefused        broker_topic_refused
    │   ├── BrokerIdTaken             broker_id_taken        (retryable)
    │   └── BrokerLost                broker_lost            (retryable)
    ├── OutboxError
    │   ├── OutboxUnwritable          outbox_unwritable      (retryable)
    │   ├── OutboxDamaged             outbox_damaged         (set aside; the service goes on with a new one)
    │   └── OutboxTooNew              outbox_too_new
    ├── KeptVisitsError
    │   ├── KeptVisitsMissing         kept_visits_missing
    │   ├── KeptVisitsUnwritable      kept_visits_unwritable (retryable)
    │   ├── KeptVisitsDamaged         kept_visits_damaged    (set aside; the service goes on with new ones)
    │   ├── KeptVisitsTooNew          kept_visits_too_new
    │   ├── VisitNotFound             visit_not_found
    │   └── SnapshotNotFound          snapshot_not_found
    ├── DiscoveryFailed               discovery_failed
    ├── FaceStoreUnreachable          face_store_unreachable (retryable)
    ├── FaceStoreRefused              face_store_refused
    ├── SetupIncomplete               setup_incomplete
    ├── PortInUse                     port_in_use
    ├── HttpAddressInvalid            http_address_invalid
    ├── HttpUnprotected               http_unprotected
    ├── BodyTooLarge                  body_too_large
    ├── RequestTimeout                request_timeout        (retryable)
    ├── ServiceStopping               service_stopping       (retryable)
    ├── CertificateUnusable           certificate_unusable
    ├── CertificateExpired            certificate_expired
    ├── IngestAddressInvalid          ingest_address_invalid
    ├── DataFolderUnwritable          data_folder_unwritable
    ├── OutputUnwritable              output_unwritable
    ├── AlreadyRunning                already_running
    ├── PeopleNotCovered              people_not_covered
    ├── ModelNotSwitched              model_not_switched
    ├── ConfirmationNeeded            confirmation_needed
    ├── NewKeyNeeded                  new_key_needed
    ├── ErasureIncomplete             erasure_incomplete
    ├── DemoFailed                    demo_failed
    └── BenchFailed                   bench_failed

Those of WebRTC are in streamer/webrtc/errors.py, those of TLS with the broker in streamer/mqtt/tls/errors.py, those of
tokens and of who may ask in streamer/access/errors.py.

Not retryable means that trying again soon is pointless; cameras and the broker are then tried again slowly.
"""

from recognition.errors import CodedError


class StreamerError(CodedError):
    code = "streamer_error"


class ConfigError(StreamerError):
    code = "config_error"


class ConfigMissing(ConfigError):
    code = "config_missing"


class ConfigUnreadable(ConfigError):
    code = "config_unreadable"


class ConfigUnknownKey(ConfigError):
    code = "config_unknown_key"


class ConfigInvalid(ConfigError):
    code = "config_invalid"


class CameraError(StreamerError):
    code = "camera_error"


class CameraUnknown(CameraError):
    code = "camera_unknown"


class CameraExists(CameraError):
    """There is a camera of that name, or one that was removed by command and still stands in the YAML."""

    code = "camera_exists"


class CameraDisabled(CameraError):
    code = "camera_disabled"


class CameraVariableUnset(CameraError):
    code = "camera_variable_unset"


class CameraUnreachable(CameraError):
    code = "camera_unreachable"
    retryable = True


class CameraLoginRefused(CameraError):
    code = "camera_login_refused"


class CameraNotFound(CameraError):
    """The server answers, but has no such stream (RTSP or HTTP 404), or a file or device is not there."""

    code = "camera_not_found"


class CameraProtocolMissing(CameraError):
    """The libav that PyAV brings was built without what the URL asks for."""

    code = "camera_protocol_missing"


class StreamHasNoVideo(CameraError):
    code = "stream_no_video"


class StreamInvalid(CameraError):
    code = "stream_invalid"
    retryable = True


class StreamUnsupported(CameraError):
    """What is published is of a codec, or sent in a way, that is not taken."""

    code = "stream_unsupported"


class StreamResized(CameraError):
    """Never raised: the frame size changed in mid-stream, every track ended, and the stream goes on."""

    code = "stream_resized"


class StreamStalled(CameraError):
    code = "stream_stalled"
    retryable = True


class StreamLost(CameraError):
    code = "stream_lost"
    retryable = True


class PublisherPresent(CameraError):
    """A camera that is published to has one publisher at a time."""

    code = "publisher_present"
    retryable = True


class CameraNotPublished(CameraError):
    """It fetches its stream itself."""

    code = "camera_not_published"


class CamerasFixed(CameraError):
    """A service that was started without a configuration that it follows (the demo) keeps its cameras as they are."""

    code = "cameras_fixed"


class BrokerError(StreamerError):
    code = "broker_error"


class BrokerUnreachable(BrokerError):
    code = "broker_unreachable"
    retryable = True


class BrokerLoginRefused(BrokerError):
    code = "broker_login_refused"


class BrokerTopicRefused(BrokerError):
    """The broker takes the login, but not a message on this topic (ACL, size, quota)."""

    code = "broker_topic_refused"


class BrokerIdTaken(BrokerError):
    code = "broker_id_taken"
    retryable = True


class BrokerLost(BrokerError):
    code = "broker_lost"
    retryable = True


class OutboxError(StreamerError):
    code = "outbox_error"


class OutboxUnwritable(OutboxError):
    code = "outbox_unwritable"
    retryable = True


class OutboxDamaged(OutboxError):
    code = "outbox_damaged"


class OutboxTooNew(OutboxError):
    code = "outbox_too_new"


class KeptVisitsError(StreamerError):
    code = "kept_visits_error"


class KeptVisitsMissing(KeptVisitsError):
    """There is no file of them: no camera ever kept any."""

    code = "kept_visits_missing"


class KeptVisitsUnwritable(KeptVisitsError):
    code = "kept_visits_unwritable"
    retryable = True


class KeptVisitsDamaged(KeptVisitsError):
    code = "kept_visits_damaged"


class KeptVisitsTooNew(KeptVisitsError):
    code = "kept_visits_too_new"


class VisitNotFound(KeptVisitsError):
    """No visit of this id is kept (any more)."""

    code = "visit_not_found"


class SnapshotNotFound(KeptVisitsError):
    """The visit is kept, and has no pictures."""

    code = "snapshot_not_found"


class DiscoveryFailed(StreamerError):
    """No network could be asked for cameras."""

    code = "discovery_failed"


class FaceStoreUnreachable(StreamerError):
    """Another program's collection of faces does not answer."""

    code = "face_store_unreachable"
    retryable = True


class FaceStoreRefused(StreamerError):
    """It wants another key, or is none that is known."""

    code = "face_store_refused"


class SetupIncomplete(StreamerError):
    """An answer is missing, and there is nobody to ask."""

    code = "setup_incomplete"


class PortInUse(StreamerError):
    code = "port_in_use"


class HttpAddressInvalid(StreamerError):
    code = "http_address_invalid"


class HttpUnprotected(StreamerError):
    """HTTP beyond this machine without TLS, or a proxy that does it."""

    code = "http_unprotected"


class BodyTooLarge(StreamerError):
    """The body of a request has more bytes than are taken there."""

    code = "body_too_large"


class RequestTimeout(StreamerError):
    """The body of a request did not come, or comes too slowly."""

    code = "request_timeout"
    retryable = True


class ServiceStopping(StreamerError):
    """A request came too late to be answered."""

    code = "service_stopping"
    retryable = True


class CertificateUnusable(StreamerError):
    code = "certificate_unusable"


class CertificateExpired(StreamerError):
    code = "certificate_expired"


class IngestAddressInvalid(StreamerError):
    code = "ingest_address_invalid"


class DataFolderUnwritable(StreamerError):
    code = "data_folder_unwritable"


class OutputUnwritable(StreamerError):
    code = "output_unwritable"


class AlreadyRunning(StreamerError):
    code = "already_running"


class PeopleNotCovered(StreamerError):
    """People have no template in an embedder's space: it could not name them."""

    code = "people_not_covered"


class ModelNotSwitched(StreamerError):
    """The running service refuses a model that was chosen by hand, or has not answered in time."""

    code = "model_not_switched"


class ConfirmationNeeded(StreamerError):
    """What can't be taken back is asked before it is done, and there is nobody to ask."""

    code = "confirmation_needed"


class NewKeyNeeded(StreamerError):
    """The settings name where the master key is, and a new one is not ours to put there."""

    code = "new_key_needed"


class ErasureIncomplete(StreamerError):
    """Somebody is forgotten, and something of them stays unless somebody does something about it."""

    code = "erasure_incomplete"


class DemoFailed(StreamerError):
    code = "demo_failed"


class BenchFailed(StreamerError):
    code = "bench_failed"
