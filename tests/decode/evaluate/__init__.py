"""Tests of decode/evaluate/, a file per module."""
