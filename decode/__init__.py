"""Images → trips: decoding generated images, and judging the synthetic trips against real ones."""
