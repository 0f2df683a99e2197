"""Print one of the README's bash blocks, so that CI runs what readers are told to run.

Usage: python .ci/readme_block.py NUMBER
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main() -> None:
    """Print the block of that number, counted from 1."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    sys.stdout.write(blocks[int(sys.argv[1]) - 1])


if __name__ == "__main__":
    main()
