"""/api/v1: what the commands do, over HTTP; thin routes that call the same functions."""
