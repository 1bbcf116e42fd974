"""Tests: folders mirror the packages, and a test file bears the name of its module."""
