"""Trips ↔ images: reading, cleaning and drawing trips; the meaning of every channel is decided here."""
