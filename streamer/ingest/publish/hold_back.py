"""After a gap, which pictures may be decoded: none before the next whole keyframe. Pure but for its state.

libav marks the picture with the hole (H.264) or none (H.265); all that is predicted from it is as wrong, unmarked.
"""

from typing import Literal

from streamer.ingest.publish.publication import EncodedPicture

Verdict = Literal["decode", "begin", "hold"]


class HoldBack:
    """Of one publication, which begins with nothing to predict from."""

    def __init__(self) -> None:
        self.holds = True

    def judge(self, picture: EncodedPicture) -> Verdict:
        """The next picture; `begin`: with a decoder that remembers no other."""
        if picture.is_damaged or (picture.is_after_gap and not picture.is_keyframe):
            self.holds = True
        elif self.holds or picture.is_after_gap:
            if picture.is_keyframe:
                self.holds = False
                return "begin"
        else:
            return "decode"
        return "hold"

    def hold(self) -> None:
        """The decoder found what the packets did not tell."""
        self.holds = True
