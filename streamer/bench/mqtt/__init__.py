"""How fast the outbox drains to a real broker."""
