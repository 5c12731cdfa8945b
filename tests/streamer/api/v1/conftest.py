"""A house with an API for the review of kept visits, opened once a module and empty for each test."""

import pytest
import pytest_asyncio

from tests.streamer.api.v1.review_house import review_house


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened_house(tmp_path_factory):
    async with review_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture
def house(opened_house):
    opened_house.empty()
    return opened_house
