"""Stateless work over HTTP, on images and embeddings that come with the request; many processes may do it side by side."""
