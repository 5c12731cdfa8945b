"""Search among templates of one space."""
