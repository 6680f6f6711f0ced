"""From the items of a STAC search to the inputs of a run, and from an output to an item of its own.

from rios_batch import applier, stac

found = stac.readItems(search.items(), ["red", "scl"])
infiles = applier.FilenameAssociations(**found.files)  # a list for each band, in the order of found.dates
controls.setReferencePixgrid(found.pixelGrid())

It needs pystac: ``pip install 'rios_batch[stac]'``.
"""

from __future__ import annotations

from rios_batch.stac.assets import BandScale
from rios_batch.stac.found import FoundItems, readItems
from rios_batch.stac.writing import writeItem

__all__ = ["BandScale", "FoundItems", "readItems", "writeItem"]
