"""No I/O: a request to bytes, a reply to a verdict, a verdict to a model."""
