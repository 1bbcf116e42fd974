"""Tests of rasterize/strokes/, a file per module."""
