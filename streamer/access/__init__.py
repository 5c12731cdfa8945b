"""Who may do what over HTTP: tokens with roles, kept hashed, and the guard that asks for them."""
