"""Tests of pgan/networks/, a file per module."""
