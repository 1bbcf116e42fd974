"""Tests of decode/, a file per module."""
