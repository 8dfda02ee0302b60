"""Small networks and random designs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for scalar.py
