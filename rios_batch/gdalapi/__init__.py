"""All that other parts need of GDAL beside datasets and bands: import it from here."""

from rios_batch.gdalapi.memoryfiles import MemoryFolder, has_memory_files, memory_file
from rios_batch.gdalapi.messages import output_errors_named, reason
from rios_batch.gdalapi.settings import GdalSettings, forget_settings
from rios_batch.gdalapi.state import (
    closing,
    ensure_exceptions,
    exceptions_switched,
    gdal_exceptions,
    limit_gdal_resources,
    raising_what_is_reported,
    script_has_exceptions,
    thread_option,
)
from rios_batch.gdalapi.values import (
    GDAL_TYPES,
    buffer_type,
    dataset_files,
    dataset_stamps,
    file_stamp,
    gdal_type,
    gdal_version,
    is_wkt,
    nodata_or_none,
    numpy_name,
    same_projection,
    set_nodata,
)

__all__ = [
    "GDAL_TYPES",
    "GdalSettings",
    "MemoryFolder",
    "buffer_type",
    "closing",
    "dataset_files",
    "dataset_stamps",
    "ensure_exceptions",
    "exceptions_switched",
    "file_stamp",
    "forget_settings",
    "gdal_exceptions",
    "gdal_type",
    "gdal_version",
    "has_memory_files",
    "is_wkt",
    "limit_gdal_resources",
    "memory_file",
    "nodata_or_none",
    "numpy_name",
    "output_errors_named",
    "raising_what_is_reported",
    "reason",
    "same_projection",
    "script_has_exceptions",
    "set_nodata",
    "thread_option",
]
