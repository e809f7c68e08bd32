"""Speed and memory of aioe2e beside what one would write by hand: ``python -m benchmarks``."""
