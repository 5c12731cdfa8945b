"""Embeddings -> people: the store of who is enrolled, the search index built from it, the decision."""
