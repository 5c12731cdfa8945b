"""Identity events, and the outbox that keeps them until the broker has them."""
