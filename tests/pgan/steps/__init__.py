"""Tests of pgan/steps/, a file per module."""
