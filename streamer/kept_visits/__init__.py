"""Kept visits: what people judge recognition by afterwards, the pictures, messages and embeddings of recent visits."""
