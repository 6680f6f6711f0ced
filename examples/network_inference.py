"""Land cover by a neural network that was exported as ONNX, as PyTorch does it. Needs onnxruntime.

python examples/network_inference.py scene.tif network.onnx classes.tif

The scene has three bands: red, near infrared, and a mask that is 1 where the sky is clear. network_training.py made
``land_cover.onnx``.
"""

import sys
from pathlib import Path

import numpy as np

from rios_batch import applier

if len(sys.argv) != 4:
    sys.exit("usage: network_inference.py SCENE NETWORK CLASSES")

NODATA = 0
CLEAR = 1
COLOURS = {NODATA: (255, 255, 255, 0), 1: (40, 90, 200), 2: (20, 100, 40), 3: (220, 200, 120)}
MARGIN = 2  # the network looks at 5 x 5 pixels

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.scene, network, outfiles.classes = sys.argv[1:]

model = applier.OtherInputs()
model.network = Path(
    network
).read_bytes()  # travels with the function: workers elsewhere do not have the file
model.session = None

controls = applier.ApplierControls()
controls.setNumThreads(2)
controls.setOverlap(MARGIN)
controls.setStatsIgnore(NODATA)
controls.setThematic(True)
controls.setColorTable(COLOURS)
controls.setOtherArgsMerge("session", "scratch")  # a worker's own, which stays from block to block


def load(network):
    import onnxruntime  # where the network is loaded: main needs no onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # there is a worker for each core
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def classify(info, inputs, outputs, model):
    if model.session is None:
        model.session = load(model.network)
    red_and_nir = inputs.scene[:2]
    (found,) = model.session.run(None, {"scene": red_and_nir[None].astype("f4")})
    inside = np.pad(found, [(0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)])  # the margin is cut off
    clear = (inputs.scene[2] == CLEAR) & (red_and_nir != info.getNoDataValueFor(inputs.scene)).all(axis=0)
    outputs.classes = np.where(clear, inside, NODATA).astype("u1")


applier.apply(classify, infiles, outfiles, model, controls=controls)
