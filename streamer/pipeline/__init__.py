"""A camera's frames on their way to events: tracked, named, visits opened and closed."""
