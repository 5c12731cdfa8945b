"""What `whosthere setup` does with answers, apart from asking for them."""
