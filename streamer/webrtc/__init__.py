"""WebRTC's signalling, in and out alike: offers, sessions, candidates. Needs the extra `webrtc`."""
