"""The content-addressed store and what keeps it whole."""
