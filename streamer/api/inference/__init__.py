"""Stateless work over HTTP, on images and embeddings that come with the request; any number of processes may."""
