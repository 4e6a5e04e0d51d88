# SPDX-License-Identifier: MIT
"""How many cases a property gets: 1,000 in `make test`, 20,000 in `make soak`."""

import os

CASES = round(1000 * float(os.environ.get("VAGUS_SCALE", "1")))
