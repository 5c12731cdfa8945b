"""Each error's status: whoever adds an error says which it has, or that it meets no request."""

import pytest

from recognition.errors import CodedError
from streamer.api.problems import of, status_of
from tests.test_error_codes import family, import_everything

# The caller's fault, in a way that no other status says better.
BAD_REQUESTS = {"candidates_invalid", "cursor_invalid", "idempotency_key_invalid", "offer_invalid"}

# 503 with Retry-After, for they may pass by themselves.
PASSING = {
    "broker_id_taken",
    "broker_lost",
    "broker_unreachable",
    "discovery_list_unwritable",
    "face_store_unreachable",
    "gallery_unwritable",
    "gpu_failed",
    "insufficient_gpu_memory",
    "insufficient_memory",
    "kept_visits_unwritable",
    "no_model_serves",
    "outbox_unwritable",
    "service_stopping",
    "too_many_listeners",
    "too_many_sessions",
    "training_source_locked",
    "triton_unavailable",
}

# Of commands, or of a service that does not start: no request meets them.
NEVER_OVER_HTTP = {
    "bench_failed",
    "clip_unreadable",
    "demo_failed",
    "face_store_refused",
    "http_address_invalid",
    "http_unprotected",
    "ingest_address_invalid",
    "new_key_needed",
    "pairs_invalid",
    "photo_set_invalid",
    "plots_unavailable",
    "port_in_use",
    "run_mismatch",
    "sessions_unwritable",
    "setup_incomplete",
    "stream_resized",
    "token_unknown",
    "training_diverged",
    "training_impossible",
    "training_source_unusable",
    "training_unavailable",
}


def leaves() -> list[type[CodedError]]:
    """Of all classes those that are raised themselves."""
    import_everything()
    heads = ("Error", "Refused")
    return [error for error in family(CodedError) if not (error.__subclasses__() and error.__name__.endswith(heads))]


def test_every_error_has_a_status_that_somebody_chose():
    bad = {error.code for error in leaves() if status_of(error) == 400}
    assert bad - BAD_REQUESTS - NEVER_OVER_HTTP == set(), (
        "give them a place in streamer/api/problems.py, or a list above"
    )
    passing = {error.code for error in leaves() if error.retryable and status_of(error) == 503}
    assert passing == PASSING


@pytest.mark.parametrize(
    ("ending", "status"),
    [("_not_found", 404), ("_unknown", 404), ("_taken", 409), ("_exists", 409), ("_too_large", 413)],
)
def test_codes_that_sound_alike_have_one_status(ending, status):
    cameras = {"camera_not_found"}  # a camera's own server says so
    commands = NEVER_OVER_HTTP | {"broker_id_taken"}
    found = {error.code for error in leaves() if error.code.endswith(ending)} - cameras - commands
    assert found
    assert {code: status_of(error) for error in leaves() if (code := error.code) in found} == dict.fromkeys(
        found, status
    )


@pytest.mark.parametrize("error", leaves(), ids=lambda error: error.code)
def test_each_is_a_problem_document(error):
    answer = of(error("what was wrong, where, what to do"))
    assert answer.status_code == status_of(error)
    assert answer.media_type == "application/problem+json"
    assert ("retry-after" in answer.headers) == error.retryable
