"""`whosthere bench`: ours, the peer and the limit, in one run on the same input."""
