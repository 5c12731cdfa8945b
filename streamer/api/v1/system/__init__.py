"""/api/v1 of what runs and how it is set: cameras, models, calibration, the service itself."""
