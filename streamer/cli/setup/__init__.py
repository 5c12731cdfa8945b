"""`whosthere setup`: the asking; what is done with answers is in streamer/setup."""
