"""People enrolled from what the service sees: clips, cameras, kept visits."""
