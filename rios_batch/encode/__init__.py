"""From arrays to TIFF blocks and overviews."""
