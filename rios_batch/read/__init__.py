"""From rasters and vectors to the arrays of a window."""
