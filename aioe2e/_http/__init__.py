"""One request, sent once over HTTP."""
