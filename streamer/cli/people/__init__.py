"""`whosthere people ...`: who is enrolled, and what is kept of them."""
