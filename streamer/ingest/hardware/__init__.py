"""Decoding on a GPU or another chip beside the processor."""
