"""The running service and the API alone."""
