"""The host: what it has, and how it gets what is missing."""
