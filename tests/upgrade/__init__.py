"""Data folders as versions of before left them, and today's version on them."""
