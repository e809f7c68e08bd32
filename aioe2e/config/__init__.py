"""Settings, and where users keep them."""
