"""Which model should serve where: candidates, measurements, the choice, hysteresis, cooldowns. Pure."""
