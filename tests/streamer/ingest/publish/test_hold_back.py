"""Pictures in words: Keyframe, after a Gap, Damaged -> decode, begin anew, hold."""

import pytest

from streamer.ingest.packet_reader import Instant
from streamer.ingest.publish.hold_back import HoldBack
from streamer.ingest.publish.publication import EncodedPicture

AT = Instant(1e9, 1.0)


def judged(words: str, keeper: HoldBack | None = None) -> str:
    keeper = keeper or HoldBack()
    said = []
    for word in words.split():
        picture = EncodedPicture(b"x", 0, "K" in word, AT, is_after_gap="G" in word, is_damaged="D" in word)
        said.append(keeper.judge(picture)[0])
    return " ".join(said)


@pytest.mark.parametrize(
    ("pictures", "verdicts"),
    [
        ("K . . K .", "b d d d d"),
        (". . K .", "h h b d"),
        ("KD . K .", "h h b d"),
        ("KG . .", "b d d"),
        ("K . D . . K .", "b d h h h b d"),
        ("K G . K", "b h h b"),
        ("K . KD . KG .", "b d h h b d"),
        ("K . KGD . K", "b d h h b"),
        ("K . KG .", "b d b d"),
        ("K D D GD K D K", "b h h h b h b"),
    ],
)
def test_nothing_is_decoded_between_a_gap_and_the_next_whole_keyframe(pictures, verdicts):
    assert judged(pictures) == verdicts


def test_what_the_decoder_found_counts_as_well():
    keeper = HoldBack()
    assert judged("K .", keeper) == "b d"
    keeper.hold()
    assert keeper.holds
    assert judged(". . K .", keeper) == "h h b d"
    assert not keeper.holds
