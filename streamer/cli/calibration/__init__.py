"""`calibrate`, and who looks like whom."""
