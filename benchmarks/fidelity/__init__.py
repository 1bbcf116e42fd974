"""How our synthetic trips compare with those of other generators: one split, one set of metrics, one table."""
