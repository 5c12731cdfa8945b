"""What these tests need beside the project: a real Home Assistant core in .ha."""

import pytest

from tests.home_assistant.core import PYTHON


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They are slow, and want a Python of their own: `make test-ha` asks for them."""
    for item in items:
        if item.path.parent.name == "home_assistant":
            item.add_marker(pytest.mark.thorough)
            item.add_marker(pytest.mark.home_assistant)
            item.add_marker(pytest.mark.timeout(400))
            if not PYTHON.exists():
                item.add_marker(pytest.mark.skip(reason="needs Home Assistant in .ha (make test-ha; Python 3.13)"))
