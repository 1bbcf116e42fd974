"""Tests of decode/solver/, a file per module."""
