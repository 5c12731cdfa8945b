"""Model specs, weights, and the runners that hold them in memory."""
