"""Tests of rasterize/, a file per module."""
