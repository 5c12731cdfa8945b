"""`whosthere demo`: the whole service on one machine, its own broker and camera included, and a table."""
