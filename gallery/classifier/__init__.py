"""A classifier trained on people's own photos."""
