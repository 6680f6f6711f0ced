"""Last step of the image's build: what a worker imports can be imported, and not as root."""

import importlib
import os
import sys

MODULES = (
    "osgeo.gdal",
    "osgeo.gdal_array",  # fails alone when numpy and GDAL do not fit
    "osgeo.ogr",
    "osgeo.osr",
    "numpy",
    "boto3",
    "cloudpickle",
    "isal.isal_zlib",
    "rios_batch",
    "rios_batch.contract",
    "rios_batch.awsbatch.configuration",
    "rios_batch.aws.stackoutputs",
    "rios_batch.worker",
    "rios_batch.awsbatch.scriptjob",
    "rios_batch.applier",
)
LEAST_BOTO3 = (1, 36)  # conditional writes to S3, AWS_ENDPOINT_URL


def main() -> None:
    """Import all of it and print the versions."""
    if os.getuid() == 0:
        sys.exit("the image runs as root")
    modules = {name: importlib.import_module(name) for name in MODULES}
    boto3_version = modules["boto3"].__version__
    if tuple(int(part) for part in boto3_version.split(".")[:2]) < LEAST_BOTO3:
        sys.exit(f"boto3 is {boto3_version}, needed is {'.'.join(map(str, LEAST_BOTO3))} or newer")
    for name in ("osgeo.gdal", "numpy", "boto3", "cloudpickle", "rios_batch"):
        print(name, modules[name].__version__)
    print("python", sys.version.split()[0])


if __name__ == "__main__":
    main()
