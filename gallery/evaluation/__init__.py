"""How often people are named rightly, wrongly and not at all, over labelled photos."""
