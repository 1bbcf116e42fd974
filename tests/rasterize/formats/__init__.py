"""Tests of rasterize/formats/, a file per module."""
