"""Land cover by a neural network in the ONNX format, which torch, TensorFlow and scikit-learn write. Needs onnxruntime.

python examples/network.py scene.tif network.onnx classes.tif
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

from rios_batch import applier

if len(sys.argv) != 4:
    sys.exit("usage: network.py SCENE NETWORK CLASSES")

NODATA = 0
COLOURS = {NODATA: (255, 255, 255, 0), 1: (40, 90, 200), 2: (20, 100, 40), 3: (220, 200, 120)}
PIXELS_AT_ONCE = 65_536

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.scene, network, outfiles.classes = sys.argv[1:]

controls = applier.ApplierControls()
controls.selectInputImageLayers([1, 2])
controls.setNumThreads(2)
controls.setThematic(True)
controls.setStatsIgnore(NODATA)
controls.setColorTable(COLOURS)

model = applier.OtherInputs()
# It travels with the function, also to workers that do not have the file.
model.network = Path(network).read_bytes()

loaded = {}  # the network, once in each worker process


def predict(info, inputs, outputs, model):
    if not loaded:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # there are as many workers as cores
        loaded["network"] = onnxruntime.InferenceSession(
            model.network, options, providers=["CPUExecutionProvider"]
        )
    nbands, nrows, ncols = inputs.scene.shape
    pixels = inputs.scene.reshape(nbands, -1).T.astype(np.float32)
    name = loaded["network"].get_inputs()[0].name
    found = [
        loaded["network"].run(None, {name: pixels[first : first + PIXELS_AT_ONCE]})[0]
        for first in range(0, len(pixels), PIXELS_AT_ONCE)
    ]
    missing = (inputs.scene == info.getNoDataValueFor(inputs.scene)).any(axis=0)
    classes = np.concatenate(found).reshape(1, nrows, ncols)
    outputs.classes = np.where(missing, NODATA, classes).astype(np.uint8)


applier.apply(predict, infiles, outfiles, model, controls=controls)
