"""What is done to what is kept, by commands and by the service once a day: expiry, another key, a look for damage."""
