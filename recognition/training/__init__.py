"""Distils small networks of one's own from larger teachers; needs the extra `train` (PyTorch)."""
