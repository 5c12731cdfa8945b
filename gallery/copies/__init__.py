"""What is taken out of the gallery and brought back: backups of all of it, ZIPs of one person."""
