"""Cameras that push: what a publisher sends, whatever its protocol, and the point at which its camera takes it."""
