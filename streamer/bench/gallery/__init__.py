"""`bench --gallery`: what a large gallery costs to open, to search, to enrol into and to forget somebody in."""
