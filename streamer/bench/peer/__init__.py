"""What we are measured against: the loop and the endpoint that people write, in an environment of their own."""
