"""Tests of benchmarks/fidelity/, a file per module."""
