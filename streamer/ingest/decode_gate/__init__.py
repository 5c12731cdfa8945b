"""The gate before the decoder: while a camera is quiet, only what is needed is decoded. Pure."""
