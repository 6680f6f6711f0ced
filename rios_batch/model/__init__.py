"""Values and arithmetic that all stages share: no GDAL, no AWS, no clock."""
