"""What is done about cameras by command, of the command line and over HTTP alike: added, changed, looked at."""
