"""Synthetic trips measured against real ones, and the report."""
