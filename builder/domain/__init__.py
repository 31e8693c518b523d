"""Pure values and judgements: no I/O, no clock, no environment."""
