"""Many steps at once: plans, runs, reports, journals."""
