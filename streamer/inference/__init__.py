"""Images of a request in, the faces in them out: the one model layer behind what is asked over HTTP."""
