"""What keeping visits costs."""
