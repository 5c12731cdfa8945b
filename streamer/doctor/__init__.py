"""What is wrong with an installation, and the commands that mend it."""
