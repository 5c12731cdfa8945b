"""A loaded model held to its spec, its embedding space and portraits before it may answer."""
