"""Which of a camera's frames the detector looks at, by what moved in them and who is followed."""
