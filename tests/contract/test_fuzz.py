"""schemathesis over the whole document with an admin token: no 500, no traceback, nothing undocumented, no leak."""

import os

import pytest

from tests.contract.fuzz import fuzzed
from tests.contract.home import home
from tests.contract.operations import operations
from tests.contract.streams import opened

pytestmark = [pytest.mark.live, pytest.mark.fuzz, pytest.mark.timeout(900)]

# Of each operation and phase, and how many requests that is at least, in all and multipart.
SHORT, LONG = (1, 150, 5), (20, 3_000, 100)
MOST_GROWN_MIB = 400  # a second model beside the cameras' is most of it


@pytest.mark.thorough  # a minute of both cores; each operation, role and documented line: test_contract.py
@pytest.mark.parametrize(("cases", "least", "multipart"), [SHORT, LONG], ids=["short", "long"])
def test_nothing_that_is_sent_breaks_it(tmp_path, cases, least, multipart):
    seed = int(os.environ.get("FUZZ_SEED", "17"))
    with home(tmp_path) as found:
        result = fuzzed(found, cases=cases, seed=seed)
        assert result.passed, result.text()
        assert result.sent["requests"] >= least, result.text()
        assert result.sent["multipart"] >= multipart, result.text()
        assert result.faults == []
        assert result.grown_mib < MOST_GROWN_MIB, result.text()


def test_streams_take_whatever_is_asked_of_them(tmp_path):
    """schemathesis reads answers to their end, and these have none."""
    with home(tmp_path) as found:
        streams = [operation for operation in operations(found.document) if operation.is_stream]
        assert streams
        for operation in streams:
            answers = operation.spec["responses"]
            for what, status, media_type in opened(found, operation):
                assert str(status) in answers, (what, status)
                assert media_type in answers[str(status)]["content"], (what, status, media_type)
