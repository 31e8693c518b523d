"""The project's data files: YAML and JSON by schema."""
