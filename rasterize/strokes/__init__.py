"""The codec of trips: strokes in image planes, encode beside decode."""
