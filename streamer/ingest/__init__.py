"""Video in: every source ends in the same one-frame mailbox, and nothing after it knows the difference."""
