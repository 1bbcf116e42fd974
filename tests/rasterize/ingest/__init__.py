"""Tests of rasterize/ingest/, a file per module."""
