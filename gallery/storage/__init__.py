"""The gallery's file: what is kept of people, how it is written, read and moved."""
