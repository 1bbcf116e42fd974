"""One training step, and the state it changes."""
