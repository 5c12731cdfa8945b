"""`whosthere`: parse, call one function, print; a module a command. streamer/commands.py puts them together."""
