"""Reading, encoding and writing rasters: the only code that imports GDAL."""
