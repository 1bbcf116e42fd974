"""Tests of benchmarks/speed/, a file per module."""
