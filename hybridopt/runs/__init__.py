"""Experiments: configs, what runs them, the store, and what is said of the results."""
