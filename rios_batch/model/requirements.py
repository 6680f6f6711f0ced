"""Importing this module refuses to go on without the packages that running needs, and says how to get them."""

from __future__ import annotations

import importlib

for _name in ("numpy", "cloudpickle", "osgeo"):
    try:
        importlib.import_module(_name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"rios_batch needs {_name} to run, and it is not installed; use pip install 'rios_batch[run]', with GDAL "
            "and its Python bindings (osgeo) from the system or conda",
            name=_name,
        ) from error

try:
    importlib.import_module("osgeo.gdal_array")
except ImportError as error:
    _numpy, _osgeo = importlib.import_module("numpy"), importlib.import_module("osgeo")
    raise ImportError(
        f"GDAL {_osgeo.__version__} was not built for numpy {_numpy.__version__}; install the numpy that it was built "
        "for (pip install 'numpy<2' for most GDALs before 3.9), or take both from conda-forge"
    ) from error
