"""Streams that can't be had; the family is streamer/errors.py's, statuses are in streamer/api/problems.py.

StreamerError
└── TooManyListeners              too_many_listeners     (retryable)
"""

from streamer.errors import StreamerError


class TooManyListeners(StreamerError):
    """As many streams are open as there may be."""

    code = "too_many_listeners"
    retryable = True
