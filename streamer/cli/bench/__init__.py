"""`bench`: what it measures, and its tables."""
