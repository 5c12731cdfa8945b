"""The page: files that browsers get as they are, from here alone."""
