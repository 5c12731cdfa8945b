"""What quiet cameras cost, and whether a visit is missed: scenes with a known truth, this build and the one before."""
