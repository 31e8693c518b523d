"""What resolves a cell: pip-compile and apt."""
