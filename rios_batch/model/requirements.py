"""Importing this module refuses to go on without the packages that running needs, and says how to get them."""

from __future__ import annotations

import importlib

from rios_batch.errors import RequirementError

for _name in ("numpy", "cloudpickle"):
    try:
        importlib.import_module(_name)
    except ModuleNotFoundError as error:
        raise RequirementError(
            f"rios_batch needs {_name} to run, and it is not installed: pip install {_name}", name=_name
        ) from error

try:
    importlib.import_module("osgeo.gdal")
except ImportError as error:
    raise RequirementError(
        f"rios_batch needs GDAL, and `from osgeo import gdal` fails here ({error}); there are three ways to have it: "
        "Debian's and Ubuntu's package python3-gdal, in an environment made by "
        "`/usr/bin/python3 -m venv --system-site-packages`; `conda install -c conda-forge gdal`; or a wheel built "
        "against the system's libgdal, with `pip install setuptools wheel` and `pip install --no-build-isolation "
        '"gdal[numpy]==$(gdal-config --version).*"`',
        name="osgeo",
    ) from error

try:
    importlib.import_module("osgeo.gdal_array")
except ImportError as error:
    _numpy, _osgeo = importlib.import_module("numpy"), importlib.import_module("osgeo")
    if isinstance(error, ModuleNotFoundError):
        raise RequirementError(
            f"GDAL {_osgeo.__version__} was built without numpy; install numpy first and build it again, `pip install "
            f'--force-reinstall --no-deps --no-cache-dir --no-build-isolation "gdal=={_osgeo.__version__}"`',
            name="osgeo.gdal_array",
        ) from error
    raise RequirementError(
        f"GDAL {_osgeo.__version__} was not built for numpy {_numpy.__version__}; install the numpy that it was built "
        "for (pip install 'numpy<2' for most GDALs before 3.9), or take both from conda-forge",
        name="osgeo.gdal_array",
    ) from error
