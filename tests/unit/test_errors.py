"""Errors: what is wrong and what to do are two fields; only the command line knows flags."""

import pickle
import re
from pathlib import Path

import malle_rt
from malle_rt.cli.telling import in_flags, report_error
from malle_rt.errors import MalleError, PipelineError, SinkError

LIBRARY = Path(malle_rt.__file__).parent


def test_text_and_advice_are_fields():
    error = SinkError("out.mp4: exists already", hint="Choose another name, or pass overwrite=True")
    assert error.what == "out.mp4: exists already"
    assert error.hint == "Choose another name, or pass overwrite=True"
    assert str(error) == f"{error.what}. {error.hint}"
    assert str(MalleError("it broke")) == "it broke"
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.what, copy.hint) == (error.what, error.hint)


def test_a_failed_stage_keeps_the_advice():
    error = PipelineError("malle-sink", SinkError("the disk is full", hint="Make room"))
    assert (error.what, error.hint) == ("the disk is full", "Make room")
    assert PipelineError("malle-sink", ValueError("no")).what == "malle-sink: no"


def test_neither_field_names_a_password():
    error = MalleError("rtsp://me:secret@10.0.0.7/a is gone", hint="Look at rtsp://me:secret@10.0.0.7/a")
    assert "secret" not in error.what + error.hint + str(error)


def test_the_command_line_shows_options_as_its_own(capsys):
    said = in_flags('use backend="tensorrt-rtx" or hwaccel="none"')
    assert said == "use --backend tensorrt-rtx or --hwaccel none"
    assert in_flags("clean both with output_dir=DIR") == "clean both with --output-dir DIR"
    assert in_flags("Leave out strict=True to keep it") == "Leave out --strict to keep it"
    assert in_flags("x264-params=asm=avx2") == "x264-params=asm=avx2"
    assert report_error(SinkError("a: exists", hint="Pass overwrite=True"), verbose=False) == 1
    assert capsys.readouterr().err == "malle-rt: error: a: exists. Pass --overwrite\n"


def test_errors_of_the_library_name_no_flags():
    rooms = ("media", "photo", "pipeline", "backends", "cuda", "trt", "ops", "net", "bench")
    files = [*LIBRARY.glob("*.py"), *(path for room in rooms for path in (LIBRARY / room).rglob("*.py"))]
    raised = re.compile(r"raise \w+\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)")
    named = [
        f"{path.name}: {found[0]}"
        for path in files
        for found in raised.finditer(path.read_text())
        if re.search(r"[ \"'(]--[a-z]", found[0])
    ]
    assert named == []
