"""One file a command: options, streams, one call."""
