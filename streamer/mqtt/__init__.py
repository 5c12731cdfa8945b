"""The broker: one connection, who publishes, who subscribes, one of our own for the demo."""
