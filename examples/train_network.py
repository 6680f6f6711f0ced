"""Train a small neural network where polygons say what there is, and write it as ONNX. Needs scikit-learn and skl2onnx.

python examples/train_network.py scene.tif training.geojson network.onnx

The polygons have the number of their class, 1 to 255, in the attribute ``cover``.
"""

import sys
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rios_batch import applier

if len(sys.argv) != 4:
    sys.exit("usage: train_network.py SCENE TRAINING NETWORK")

infiles = applier.FilenameAssociations()
infiles.scene, infiles.cover, network = sys.argv[1:]

controls = applier.ApplierControls()
controls.selectInputImageLayers([1, 2], "scene")
controls.setBurnAttribute("cover", "cover")

samples = applier.OtherInputs()
samples.rows = []  # of the bands, and the class


def gather(info, inputs, outputs, samples):
    inside = inputs.cover[0] > 0
    samples.rows.append(np.concatenate([inputs.scene[:, inside], inputs.cover[:, inside]]).T)


applier.apply(gather, infiles, applier.FilenameAssociations(), samples, controls=controls)

rows = np.concatenate(samples.rows).astype(np.float32)
rows = rows[np.lexsort(rows.T)]  # so that the network does not depend on the order of the blocks
bands, classes = rows[:, :-1], rows[:, -1].astype(np.int64)
model = make_pipeline(StandardScaler(), MLPClassifier((16,), random_state=1, max_iter=500)).fit(
    bands, classes
)
Path(network).write_bytes(to_onnx(model, bands[:1], options={"zipmap": False}).SerializeToString())
print(f"{len(rows)} samples; {model.score(bands, classes):.1%} of them are predicted as they are")
