#!/usr/bin/env bash
# PyTorch 2.13.0: a module with a parametrised weight, deep-copied, shares its generated class with the copy. Taking the
# parametrisation from the copy (remove_parametrizations, as an exporter would do to a copy of a network that is still
# being trained) deletes the weight's property from that class: the original has parameters but no weight any more, and
# its next forward pass raises AttributeError. The copy is fine.
# Seen: "'ParametrizedLinear' object has no attribute 'weight'" from the original.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import copy
import sys

import torch
from torch import nn
from torch.nn.utils import parametrize


class Rounded(nn.Module):
    def forward(self, weight):
        return weight.round(decimals=1)


layer = nn.Linear(3, 2)
parametrize.register_parametrization(layer, "weight", Rounded())
for_export = copy.deepcopy(layer)
parametrize.remove_parametrizations(for_export, "weight", leave_parametrized=True)
print(f"PyTorch {torch.__version__}: the copy answers", tuple(for_export(torch.ones(1, 3)).shape))
try:
    layer(torch.ones(1, 3))
except AttributeError as error:
    print(f"the original raises AttributeError: {error}")
else:
    sys.exit("the original answers too: this has changed")
PYTHON
