"""`enrol`."""
