"""Tests of benchmarks/, a file per module."""
