"""One module for each verb of `bevformer-eval`: `configure` fills its parser, `execute` does it."""
