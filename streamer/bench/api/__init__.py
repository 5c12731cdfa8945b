"""`whosthere bench --http`: what the HTTP API gives, beside the bare networks and the endpoint that people write."""
