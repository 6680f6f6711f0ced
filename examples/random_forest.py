"""Land cover by a random forest: trained where polygons say what there is, then predicted. Needs scikit-learn.

python examples/random_forest.py scene.tif training.geojson classes.tif

The polygons have the number of their class, 1 to 255, in the attribute ``cover``.
"""

import sys

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from rios_batch import applier

if len(sys.argv) != 4:
    sys.exit("usage: random_forest.py SCENE TRAINING CLASSES")

scene, training, classes = sys.argv[1:]

NODATA = 0
COLOURS = {NODATA: (255, 255, 255, 0), 1: (40, 90, 200), 2: (20, 100, 40), 3: (220, 200, 120)}
BANDS = [1, 2]


# -- what the polygons cover, gathered on otherArgs; nothing is written

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.scene, infiles.cover = scene, training

controls = applier.ApplierControls()
controls.selectInputImageLayers(BANDS, "scene")
controls.setBurnAttribute("cover", "cover")

samples = applier.OtherInputs()
samples.rows = []  # of the bands, and the class


def gather(info, inputs, outputs, samples):
    inside = inputs.cover[0] > 0
    samples.rows.append(np.concatenate([inputs.scene[:, inside], inputs.cover[:, inside]]).T)


applier.apply(gather, infiles, outfiles, samples, controls=controls)

rows = np.concatenate(samples.rows)
rows = rows[np.lexsort(rows.T)]  # so that the forest does not depend on the order of the blocks
forest = RandomForestClassifier(n_estimators=20, random_state=1).fit(rows[:, :-1], rows[:, -1])


# -- the prediction, by two workers

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.scene, outfiles.classes = scene, classes

controls = applier.ApplierControls()
controls.selectInputImageLayers(BANDS)
controls.setNumThreads(2)
controls.setOutputDriverName("COG")
controls.setThematic(True)
controls.setStatsIgnore(NODATA)
controls.setColorTable(COLOURS)

model = applier.OtherInputs()
model.forest = forest


def predict(info, inputs, outputs, model):
    nbands, nrows, ncols = inputs.scene.shape
    found = model.forest.predict(inputs.scene.reshape(nbands, -1).T).reshape(1, nrows, ncols)
    missing = (inputs.scene == info.getNoDataValueFor(inputs.scene)).any(axis=0)
    outputs.classes = np.where(missing, NODATA, found).astype(np.uint8)


applier.apply(predict, infiles, outfiles, model, controls=controls)
print(f"{len(rows)} samples; {forest.score(rows[:, :-1], rows[:, -1]):.1%} of them are predicted as they are")
