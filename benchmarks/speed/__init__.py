"""How fast the codec and training are."""
