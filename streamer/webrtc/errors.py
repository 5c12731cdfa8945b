"""What is wrong with a session of WebRTC; the family is streamer/errors.py's.

StreamerError
└── WebrtcError
    ├── WebrtcMissing             webrtc_missing
    ├── WebrtcDisabled            webrtc_disabled
    ├── OfferInvalid              offer_invalid
    ├── OfferUnsupported          offer_unsupported
    ├── MediaTypeUnsupported      media_type_unsupported
    ├── SessionUnknown            session_unknown
    ├── EntityTagMissing          entity_tag_missing
    ├── SessionChanged            session_changed
    ├── CandidatesInvalid         candidates_invalid
    ├── IceRestartUnsupported     ice_restart_unsupported
    └── TooManySessions           too_many_sessions      (retryable)
"""

from streamer.errors import StreamerError


class WebrtcError(StreamerError):
    code = "webrtc_error"


class WebrtcMissing(WebrtcError):
    """The extra `webrtc` is not installed."""

    code = "webrtc_missing"


class WebrtcDisabled(WebrtcError):
    code = "webrtc_disabled"


class OfferInvalid(WebrtcError):
    code = "offer_invalid"


class OfferUnsupported(WebrtcError):
    """Well-formed, and asks for what is not here."""

    code = "offer_unsupported"


class MediaTypeUnsupported(WebrtcError):
    code = "media_type_unsupported"


class SessionUnknown(WebrtcError):
    code = "session_unknown"


class EntityTagMissing(WebrtcError):
    code = "entity_tag_missing"


class SessionChanged(WebrtcError):
    code = "session_changed"


class CandidatesInvalid(WebrtcError):
    code = "candidates_invalid"


class IceRestartUnsupported(WebrtcError):
    code = "ice_restart_unsupported"


class TooManySessions(WebrtcError):
    code = "too_many_sessions"
    retryable = True
