import os
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
from helpers.answering import Part, Request

from malle_rt.child import Child, ChildEndedError, call, module_command, restored
from malle_rt.errors import ConfigError, SinkError


def test_a_source_tree_in_the_current_folder_is_not_taken_for_the_package(tmp_path):
    trap = tmp_path / "malle_rt"
    trap.mkdir()
    (trap / "__init__.py").write_text("raise SystemExit('the wrong package')")
    done = subprocess.run(
        module_command("malle_rt", "--version"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("malle-rt ")


def asked(what, **options):
    return call("helpers.answering", Request(what=what), **options)


def test_a_request_and_its_reply_keep_their_types():
    part = Part(Fraction(30000, 1001), ((640, 360), (1280, 720)))
    request = Request(what="repeat", path=Path("a b/clip.mkv"), part=part, strength=2.5)
    assert restored(Request, call("helpers.answering", request)) == request
    plain = Request(what="repeat")
    assert restored(Request, call("helpers.answering", plain)) == plain


def test_several_requests_are_answered_in_turn_with_their_events():
    with Child("helpers.answering") as child:
        replies = []
        for _ in range(2):
            events = []
            replies.append(child.ask(Request(what="count"), events.append))
            assert events == [0, 1, 2]
    assert replies[0] == replies[1] != os.getpid()
    assert not alive(replies[0])


def test_what_is_printed_there_is_no_reply_and_programs_do_not_read_requests():
    assert asked("noise", limit=20) == ""


def test_errors_are_raised_here_with_their_advice():
    with pytest.raises(ConfigError) as caught:
        asked("refuse")
    assert (caught.value.what, caught.value.hint) == (
        "depth must be at least 1, got 0",
        "depth=1 is the least",
    )
    with pytest.raises(SinkError, match=r"^out.mkv: the disk is full\. Free some space$"):
        asked("fail")


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("break", "ended with code 1: KeyError: 'nonsense'"),
        ("abort", "ended with signal SIGABRT: terminate called"),
    ],
)
def test_a_process_that_ends_without_a_reply_gives_its_last_words(what, says):
    with pytest.raises(ChildEndedError, match=f"^{says}$"):
        asked(what)


def test_it_is_ended_when_it_takes_too_long_or_is_not_wanted():
    begin = time.monotonic()
    with pytest.raises(ChildEndedError, match=r"^took longer than 0\.5 s$"):
        asked("sleep", limit=0.5)
    with pytest.raises(ChildEndedError, match=r"^was stopped$"):
        asked("sleep", stopped=lambda: True)
    with Child("helpers.answering") as child:
        child.ask(Request(what="count"))
        threading.Timer(0.3, child.stop).start()
        with pytest.raises(ChildEndedError, match=r"^ended with code 0"):
            child.ask(Request(what="sleep"))
    assert time.monotonic() - begin < 30
    assert not [thread for thread in threading.enumerate() if thread.name == "malle-child"]


def test_it_ends_with_the_process_that_started_it(tmp_path):
    code = (
        "from helpers.answering import Request\nfrom malle_rt.child import Child\n"
        "child = Child('helpers.answering')\nprint(child.ask(Request(what='count')), flush=True)\n"
        "child.ask(Request(what='sleep'))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    end = time.monotonic() + 10
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(pid)


def alive(pid):
    """Whether there is such a process that has not ended."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
