"""What the document says of problems: every code under its status, and what every request may meet."""

import pytest
from fastapi import APIRouter, Depends

from gallery.errors import GalleryMissing, MasterKeyError, NameTaken, PersonNotFound
from recognition.errors import ImageError
from streamer.access.guard import Guard, needs
from streamer.access.live_tokens import LiveTokens
from streamer.api.application import create_app
from streamer.api.problem_answers import problem_answers
from streamer.api.problems import MEDIA_TYPE
from streamer.telemetry.metrics import Metrics
from tests.streamer.api.v1.api import Looked


def codes(answer) -> set[str]:
    return set(answer["content"][MEDIA_TYPE]["examples"])


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ((PersonNotFound, NameTaken), {404: {"person_not_found"}, 409: {"name_taken"}}),
        ((GalleryMissing, MasterKeyError), {503: {"gallery_missing", "master_key_missing", "master_key_wrong"}}),
        (
            (ImageError,),
            {
                413: {"image_too_large"},
                422: {"image_missing", "image_empty", "image_unreadable", "image_cut_short", "image_kind_unsupported"},
            },
        ),
        ((), {}),
    ],
)
def test_each_code_stands_under_its_status(errors, told):
    assert {status: codes(answer) for status, answer in problem_answers(*errors).items()} == told


@pytest.fixture
def document(tmp_path):
    metrics = Metrics()
    looked = Looked(Guard(LiveTokens(tmp_path / "tokens.json"), metrics), metrics)
    routes = APIRouter(prefix="/api/v1/people")

    @routes.get(
        "/{person}", dependencies=[Depends(needs("viewer"))], responses=problem_answers(GalleryMissing, PersonNotFound)
    )
    async def show_person(person: str) -> str:
        return person

    @routes.post("/{person}", dependencies=[Depends(needs("viewer"))])
    async def change_person(person: str) -> str:
        return person

    return create_app(looked, [routes]).openapi()


def test_each_operation_tells_what_every_request_may_meet(document):
    answers = document["paths"]["/api/v1/people/{person}"]["get"]["responses"]
    assert codes(answers["401"]) == {"token_missing", "token_invalid", "session_over"}
    assert codes(answers["403"]) == {"role_too_low", "proxy_bypassed"}
    assert codes(answers["404"]) == {"person_not_found"}
    assert codes(answers["422"]) == {"request_invalid"}
    assert {"service_stopping", "gallery_missing"} <= codes(answers["503"])
    assert list(answers) == sorted(answers)


def test_what_changes_something_tells_of_other_pages(document):
    answers = document["paths"]["/api/v1/people/{person}"]["post"]["responses"]
    assert codes(answers["403"]) == {"role_too_low", "proxy_bypassed", "csrf_refused"}


def test_fastapis_own_idea_of_a_refusal_is_nowhere(document):
    assert "HTTPValidationError" not in str(document)


def test_a_part_that_is_not_ready_keeps_its_own_words(document):
    answer = document["paths"]["/readyz"]["get"]["responses"]["503"]
    assert "not ok" in answer["description"]
    assert codes(answer) >= {"service_stopping"}
