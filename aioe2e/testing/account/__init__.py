"""The emulated account: its images and nodes, and its rules."""
