"""Error rates of detectors and embedders over labelled photos and clips."""
