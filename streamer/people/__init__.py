"""What is done with people and their photos, for whoever asks: commands and HTTP call the same functions."""
