"""Simulated callers against the rules: `scripts/evaluate`."""
