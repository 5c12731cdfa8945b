"""People erased everywhere: keys, rows, kept visits, outbox, retained topics; searched for afterwards, and told of."""
