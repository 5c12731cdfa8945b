"""What is wrong with the list of what Home Assistant was told; the family is streamer/errors.py's.

StreamerError
└── DiscoveryListError
    ├── DiscoveryListUnreadable   discovery_list_unreadable
    ├── DiscoveryListTooNew       discovery_list_too_new
    └── DiscoveryListUnwritable   discovery_list_unwritable   (retryable)
"""

from streamer.errors import StreamerError


class DiscoveryListError(StreamerError):
    code = "discovery_list_error"


class DiscoveryListUnreadable(DiscoveryListError):
    """Or damaged."""

    code = "discovery_list_unreadable"


class DiscoveryListTooNew(DiscoveryListError):
    code = "discovery_list_too_new"


class DiscoveryListUnwritable(DiscoveryListError):
    code = "discovery_list_unwritable"
    retryable = True
