"""The outside world: files, processes, networks, engines."""
