"""How synthetic trips of ours compare with those of other generators: one split, one judge, one table."""
