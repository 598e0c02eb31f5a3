"""One file a format, in order; a file that was released never changes."""
