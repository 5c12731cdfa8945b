"""Identity events in the words of Frigate, for automations that were made for it."""
