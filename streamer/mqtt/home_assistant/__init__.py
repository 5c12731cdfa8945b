"""What Home Assistant is told of: devices as its MQTT discovery wants them, and a list of all that it was told."""
