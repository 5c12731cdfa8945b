"""Training needs the extra `train`; without it these tests have nothing to run on."""

import pytest

pytest.importorskip("torch", reason="the extra train is not installed: pip install -e '.[train]'")
