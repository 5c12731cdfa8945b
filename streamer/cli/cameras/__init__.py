"""`whosthere cameras ...`: a module, mostly, for what belongs together."""
