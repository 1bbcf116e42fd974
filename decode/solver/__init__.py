"""The inverse problem: which trips, together, painted an image."""
