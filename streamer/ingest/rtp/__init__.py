"""RTP packets of one track -> whole pictures (RFC 3550, 6184, 7798). No socket and no clock: pure but for its state."""
