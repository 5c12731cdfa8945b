"""Photos -> templates that may be trusted."""
