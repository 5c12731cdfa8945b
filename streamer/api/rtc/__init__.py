"""WHIP and WHEP: WebRTC's signalling as routes, and what stands in their place where it can't be had."""
