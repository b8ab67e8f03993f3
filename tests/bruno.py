"""The Bruno collection, from top to bottom, against a fresh server with the demo people: `make bruno-test`.

python -m tests.bruno
"""

import subprocess
import sys

from tests import live
from tools.walk import COLLECTION


def main() -> int:
    with live.server() as server:
        command = ["node_modules/.bin/bru", "run", "walk", "--env", "local", "--env-var", f"host={server.base}"]
        return subprocess.run([*command, "--bail"], cwd=COLLECTION, timeout=600, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
