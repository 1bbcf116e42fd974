"""Trip files of any packing → clean trips and stations, batch by batch."""
