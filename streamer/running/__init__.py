"""The running service as others meet it: what there is of it, and the doors by which it is met."""
