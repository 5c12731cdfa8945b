"""RTP packets of one track -> whole pictures (RFC 3550, 6184, 7798). Pure but for its own state; no socket, no clock."""
