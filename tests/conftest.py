"""What tests share: where the shared weights, faces and clips lie, and free ports."""

import os
import socket
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"

# The models of tests whose subject is other people's faces; their weights lie in ../shared/models.
LARGER = {"detector": "scrfd_500m", "embedder": "arcface_w600k_mbf"}


@pytest.fixture(scope="session")
def shared() -> Path:
    """Larger weights, other people's faces and clips; skips where they are missing, fails where CI needs them."""
    if not (SHARED / "models").is_dir():
        if os.environ.get("CI"):
            pytest.fail("../shared is missing, and in CI it must be there")
        pytest.skip("needs ../shared (weights, faces and clips), which is not beside this checkout")
    return SHARED


@pytest.fixture
def free_port() -> int:
    """A TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
