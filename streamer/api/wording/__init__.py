"""What a refusal says, in the words of whoever sends requests."""
