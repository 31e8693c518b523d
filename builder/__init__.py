"""Cellar: hermetic container images of deep-learning stacks."""
