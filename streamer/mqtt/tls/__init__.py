"""TLS with the broker."""
