"""Which retained topics are an earlier run's."""

import pytest

from streamer.mqtt.leftovers import is_leftover
from tests.streamer.messages import ADA, BOB


@pytest.mark.parametrize(
    ("topic", "leftover"),
    [
        ("site/whosthere/cameras/gone/status", True),
        ("site/whosthere/cameras/gone/present", True),
        (f"site/whosthere/people/{BOB}/present", True),
        (f"site/whosthere/people/{BOB}/last_seen", True),
        ("site/whosthere/cameras/door/status", False),
        ("site/whosthere/cameras/door/present", False),
        (f"site/whosthere/people/{ADA}/present", False),
        ("site/whosthere/available", False),
        ("site/whosthere/service/model", False),
        ("site/whosthere/cameras/gone/other", False),
        ("site/whosthere/cameras/gone/deep/status", False),
        ("site/whosthere2/cameras/gone/status", False),
        ("cameras/gone/status", False),
    ],
)
def test_what_belongs_to_nobody_any_more(topic, leftover):
    assert is_leftover(topic, "site/whosthere", {"door": 1}, {ADA: "Ada"}.get) is leftover
