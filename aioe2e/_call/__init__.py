"""One call: attempts until something is certain."""
