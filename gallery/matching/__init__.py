"""Candidates -> who it is, or nobody."""
