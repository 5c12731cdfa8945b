"""What is wrong with a decision on a cluster; the family is streamer/errors.py's.

StreamerError
└── ReviewError
    ├── ClusterNotFound           cluster_not_found
    └── ClusterChanged            cluster_changed
"""

from streamer.errors import StreamerError


class ReviewError(StreamerError):
    code = "review_error"


class ClusterNotFound(ReviewError):
    """There is no such cluster to review (any more)."""

    code = "cluster_not_found"


class ClusterChanged(ReviewError):
    """Visits of the cluster are somebody's by now, or are ignored, or, by If-Match, are others."""

    code = "cluster_changed"
