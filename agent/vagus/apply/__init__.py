# SPDX-License-Identifier: MIT
"""Apply: stances -> settings -> leases."""
