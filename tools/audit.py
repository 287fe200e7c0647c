"""Ask whether the installed dependencies fit together, and whether any is known to be vulnerable.

    pip install pip-audit && python tools/audit.py

Runs "pip check", then pip-audit on this environment, which asks the package index's list of advisories over the
network. Exit code 1 if either finds something, 2 where pip-audit is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys

PATIENCE = 600  # s


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    fits = subprocess.run([sys.executable, "-m", "pip", "check"], check=False, timeout=PATIENCE).returncode
    if importlib.util.find_spec("pip_audit") is None:
        print("audit.py: pip-audit is not installed: pip install pip-audit", file=sys.stderr)
        return 2
    command = [sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner", "off"]
    known = subprocess.run(command, check=False, timeout=PATIENCE).returncode
    return int(bool(fits or known))


if __name__ == "__main__":
    sys.exit(main())
