"""Against a real Home Assistant core: `make test-ha`."""
