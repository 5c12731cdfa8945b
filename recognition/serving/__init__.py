"""Faces of many callers gathered into batches, and the one model that serves them now."""
