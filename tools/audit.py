"""Ask whether the installed dependencies fit together, and whether any is known to be vulnerable.

    pip install pip-audit && python tools/audit.py

Runs "pip check", then pip-audit on this environment, which asks the package index for its advisories over the network.
Exit code 1 if either finds something, 2 where pip-audit is not installed or packages could not be looked up: an index
that knows no advisories, such as a mirror, finds nothing wrong with anything.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from typing import Any

PATIENCE = 600  # s
OURS = "malle-rt"  # in no package index


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
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--skip-editable",
        "--progress-spinner",
        "off",
        "-f",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        print(f"audit.py: pip-audit gave no result ({reason})", file=sys.stderr)
        return 2
    found = verdict(packages)
    return 1 if fits else found


def verdict(packages: list[dict[str, Any]]) -> int:
    """Print what pip-audit found out. 1: something is vulnerable; else 2: packages could not be looked up; else 0.

    Args:
        packages: of pip-audit's JSON: name, and version and vulns, or skip_reason.
    """
    vulnerable = [package for package in packages if package.get("vulns")]
    unknown = [package for package in packages if "skip_reason" in package and package["name"] != OURS]
    for package in vulnerable:
        for found in package["vulns"]:
            mended = ", ".join(found.get("fix_versions", [])) or "no version"
            print(f"{package['name']} {package['version']}: {found['id']}, mended in {mended}")
    looked_up = len(packages) - len([package for package in packages if "skip_reason" in package])
    print(f"{looked_up} of {len(packages)} packages looked up, {len(vulnerable)} known to be vulnerable")
    if unknown:
        names = ", ".join(package["name"] for package in unknown)
        print(
            f"audit.py: {len(unknown)} could not be looked up, the first since: {unknown[0]['skip_reason']}. "
            f"Ask where the package index has advisories. They are: {names}",
            file=sys.stderr,
        )
    return 1 if vulnerable else 2 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
