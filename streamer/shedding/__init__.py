"""What is left out where the machine can't keep up, so that what it does is prompt: whose frames, and whose faces."""
