"""Makes the documentation's Sphinx extension importable."""

import sys

from source_tree import ROOT

sys.path.append(str(ROOT / "docs" / "_extensions"))
