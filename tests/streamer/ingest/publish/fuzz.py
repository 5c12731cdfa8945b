"""Sessions whose packets are broken at random, joined and decoded; by seed.

For longer: `python -m tests.streamer.ingest.publish.fuzz SECONDS`.
"""

import itertools
import random
import resource
import sys
import time

from streamer.errors import StreamInvalid, StreamLost
from tests.streamer.ingest.publish.test_publication_decoder import CLIPS, clip_of, received, shown
from tests.streamer.ingest.rtp.packetiser import packetise


def broken(dice: random.Random, packet: bytes) -> bytes:
    """One packet with some of its bits turned, cut short, made up, or with other bytes in its headers."""
    data = bytearray(packet)
    match dice.randrange(5):
        case 0:
            for _ in range(dice.randint(1, 8)):
                data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        case 1:
            data = data[: dice.randrange(len(data))]
        case 2:
            data = bytearray(dice.randbytes(dice.randrange(1500)))
        case 3:
            data[dice.randrange(min(14, len(data)))] = dice.randrange(256)
        case _:
            data = data[:12] + bytearray(dice.randbytes(dice.randrange(60)))
    return bytes(data)


def one_session(seed: int) -> tuple[int, int]:
    """(packets that went in, frames that came out). Raises whatever should not be raised."""
    dice = random.Random(seed)
    clip = clip_of(dice.choice(list(CLIPS)))
    share = dice.choice([0.001, 0.01, 0.1, 0.5])
    packets = []
    for packet, at in packetise(clip, mtu=250, aggregates=dice.random() < 0.5):
        if dice.random() >= share:
            packets.append((packet, at))
        elif dice.random() < 0.8:  # else it is lost
            packets.append((broken(dice, packet), at))
    pictures = received(clip, packets, reorders=dice.random() < 0.5)
    assert all(len(picture.data) > 5 for picture in pictures)
    got = shown(clip, pictures)
    assert isinstance(got.end, (StreamLost, StreamInvalid)), repr(got.end)
    return len(packets), len(got.frames)


def main(seconds: float) -> None:
    began_s, packets, frames = time.monotonic(), 0, 0
    for seed in itertools.count():
        if time.monotonic() - began_s > seconds:
            break
        more_packets, more_frames = one_session(seed)
        packets, frames = packets + more_packets, frames + more_frames
        if seed % 500 == 0:
            peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            sys.stdout.write(f"{seed + 1} sessions, {packets} packets, {frames} frames, peak {peak_mib} MiB\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(float(sys.argv[1]))
