"""Tests of benchmarks/learning/, a file per module."""
