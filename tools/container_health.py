"""Whether the program of a container does its work: with a page, that page must answer; else it must be there.

The page answers 403 to who has no token, which is an answer.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path

DEFAULT_PORT = 8077  # of ``malle-rt webcam --web``


def page_of(words: list[str]) -> str | None:
    """The address of the page that a command line asks for; None: it asks for none."""
    for index, word in enumerate(words):
        if word == "--web" or word.startswith("--web="):
            following = words[index + 1] if index + 1 < len(words) else ""
            where = word.partition("=")[2] or ("" if following.startswith("-") else following)
            port = where.rpartition(":")[2]
            return f"http://127.0.0.1:{port if port.isdecimal() else DEFAULT_PORT}/"
    return None


def answers(url: str) -> bool:
    """Whether anything that speaks HTTP is there."""
    try:
        with urllib.request.urlopen(url, timeout=4):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def main(command_line: Path = Path("/proc/1/cmdline")) -> int:
    """0 where it is well, 1 where it is not."""
    url = page_of([word.decode(errors="replace") for word in command_line.read_bytes().split(b"\0")])
    return 0 if url is None or answers(url) else 1


if __name__ == "__main__":
    sys.exit(main())
