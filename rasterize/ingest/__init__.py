"""Trip files of any packing to clean trips and stations, batch by batch."""
