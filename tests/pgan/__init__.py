"""Tests of pgan/, a file per module."""
