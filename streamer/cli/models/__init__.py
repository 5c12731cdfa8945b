"""`whosthere models ...`: a module a command."""
