"""Pixels -> faces. Knows no camera and no person: an image and an opaque lane go in, faces come out."""
