"""Tests of pgan/run/, a file per module."""
