"""Training needs the extra `train`; without it these tests have nothing to run on."""

import pytest

pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")


@pytest.fixture(scope="module", autouse=True)
def on_one_thread(one_thread: None) -> None:
    """All of them."""
