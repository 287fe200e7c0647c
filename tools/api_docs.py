"""Write the reference of the Python interface, from the docstrings, as pages to open in a browser.

    python tools/api_docs.py build/api

Needs the extra "docs" (pdoc). Warnings of pdoc's, such as a name that does not resolve, are errors.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import malle_rt

__all__ = ["main", "write"]

# What a user calls, what it raises, and what progress and reports hold.
PAGES = ("malle_rt", "malle_rt.errors", "malle_rt.pipeline.stats")


def write(folder: Path) -> Path:
    """Write the pages; gives the one to begin with.

    Raises:
        ImportError: pdoc is not installed.
        UserWarning: something is missing or does not resolve.
    """
    import pdoc

    for name in malle_rt.__all__:
        # pdoc does not ask the package for names that it imports on first use.
        setattr(malle_rt, name, getattr(malle_rt, name))
    pdoc.render.configure(docformat="google", show_source=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pdoc.pdoc(PAGES[0], "!malle_rt.", *PAGES[1:], output_directory=folder)
    return folder / f"{PAGES[0]}.html"


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Write the reference of the Python interface.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("build/api"))
    folder = parser.parse_args(arguments).folder
    try:
        print(f"wrote {write(folder)}")
    except ImportError as exc:
        print(f"api_docs: {exc}: pip install -e '.[docs]'", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
