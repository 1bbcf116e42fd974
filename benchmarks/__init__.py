"""Benchmarks, run by `make bench`; figures are rates per CPU-second and ratios to a rival measured in the same run."""
