"""Run our C++ kernel under AddressSanitizer and UndefinedBehaviorSanitizer, on buffers of exactly the documented sizes.

    python tools/sanitize.py

Exit code 0 if nothing was found, 1 with the sanitizer's report otherwise, 2 where no compiler has them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent / "malle_rt" / "ops" / "csrc"
FLAGS = ["-std=c++17", "-O0", "-g1", "-fno-omit-frame-pointer"]
FLAGS += ["-fno-sanitize-recover=all", "-ffp-contract=fast"]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--compiler", default=os.environ.get("CXX", "g++"))
    parser.add_argument(
        "--minutes", type=float, default=10, help="for one build or run, after which it is ended"
    )
    names = ("address", "undefined")
    parser.add_argument("--sanitizer", nargs="+", choices=names, default=names)
    options = parser.parse_args()
    if shutil.which(options.compiler) is None:
        print(f"sanitize.py: no compiler {options.compiler}: install g++ or clang++", file=sys.stderr)
        return 2
    return max(sanitized(each, options.compiler, 60 * options.minutes) for each in options.sanitizer)


def sanitized(name: str, compiler: str, seconds: float) -> int:
    """Compile with one sanitizer, which takes less than with both, and run it. Exit code."""
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "sanitized")
        sources = [str(HERE / "sanitize_slice.cpp"), str(SOURCES / "malle_slice.cpp")]
        build = [compiler, *FLAGS, f"-fsanitize={name}", f"-I{SOURCES}", *sources, "-o", program]
        try:
            if subprocess.run(build, check=False, timeout=seconds).returncode:
                print(f"sanitize.py: it does not compile with {name} here", file=sys.stderr)
                return 2
            print(f"{name}: ", end="", flush=True)
            return int(subprocess.run([program], check=False, timeout=seconds).returncode != 0)
        except subprocess.TimeoutExpired:
            print(f"sanitize.py: {name}: not done in {seconds:g} s; give it more --minutes", file=sys.stderr)
            return 1


if __name__ == "__main__":
    sys.exit(main())
