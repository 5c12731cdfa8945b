"""HTTP: thin routes over what runs already, problems as RFC 9457, and the server in our own event loop."""
