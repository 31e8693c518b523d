"""One verb each: a command takes ports, and returns a result object."""
