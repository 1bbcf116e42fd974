"""How publishers write trip files: their columns, values and times, read and written alike."""
