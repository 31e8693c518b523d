"""Where inputs come from: channels, HTTP and downloads."""
