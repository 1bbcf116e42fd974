"""What a generator learns in equal training time, one change at a time."""
