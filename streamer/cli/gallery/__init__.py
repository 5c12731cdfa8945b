"""`whosthere gallery ...`: a module a command."""
