"""The models of the running service: chosen, switched, watched, told; templates for each of them."""
