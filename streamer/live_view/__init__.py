"""Cameras in a browser: each one's pictures, encoded once for all who look, with the faces that were seen in them."""
