# SPDX-License-Identifier: MIT
"""How many cases a property gets: 1,000 in `make test`, 20,000 in `make soak`.

A property whose cases are long takes a part of them, and says there why.
"""

import os

CASES = round(1000 * float(os.environ.get("VAGUS_SCALE", "1")))
