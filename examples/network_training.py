"""Train a small network with PyTorch, and export it as ONNX for network_inference.py. Needs torch and onnxscript.

python examples/network_training.py network.onnx

The network looks at red and near infrared of 5 x 5 pixels, and tells water (1), forest (2) and field (3). The made-up
landscape of synthetic.py teaches it. The exported network takes (1, 2, rows + 4, cols + 4) and gives (1, rows, cols).
"""

import sys
from pathlib import Path

import synthetic
import torch

if len(sys.argv) != 2:
    sys.exit("usage: network_training.py NETWORK")


class LandCover(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(2, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3), torch.nn.ReLU(),
            torch.nn.Conv2d(8, 3, 1),
        )  # fmt: skip

    def forward(self, scene):
        return self.layers(scene / 5000)


class Classes(torch.nn.Module):
    """The class instead of a number for each class, so that less comes back."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, scene):
        return self.network(scene).argmax(1) + 1


torch.manual_seed(1)
network = LandCover()
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
truth = torch.from_numpy(synthetic.land_cover(*synthetic.coordinates(260, 300)))[None] - 1
for step in range(300):
    scene = torch.from_numpy(synthetic.scene(100 + step).astype("f4"))
    clear = scene[2] == synthetic.CLEAR
    red_and_nir = torch.nn.functional.pad(scene[None, :2], (2, 2, 2, 2))  # 0 is outside, as there is nothing
    losses = torch.nn.functional.cross_entropy(network(red_and_nir), truth, reduction="none")
    optimizer.zero_grad()
    losses[0, clear].mean().backward()
    optimizer.step()
print(f"loss {losses[0, clear].mean():.4f}")

rows, cols = torch.export.Dim("rows", min=5), torch.export.Dim("cols", min=5)
program = torch.onnx.export(
    Classes(network).eval(), (torch.zeros(1, 2, 64, 80),), input_names=["scene"], output_names=["classes"],
    dynamic_shapes=({2: rows, 3: cols},),
)  # fmt: skip
exported = program.model_proto
for node in [exported.graph, *exported.graph.node, *exported.graph.value_info]:
    del node.metadata_props[:]  # where the lines of code stood on this machine
Path(sys.argv[1]).write_bytes(exported.SerializeToString())
