"""Sections of the settings that are long enough to stand by themselves."""
