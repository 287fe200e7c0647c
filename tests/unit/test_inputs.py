"""Files, folders, patterns and lists, and the outputs that belong to them."""

import io
import sys
from pathlib import Path

import pytest

from malle_rt.errors import ConfigError
from malle_rt.inputs import find_inputs, means_many


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder with files, seen from its parent."""
    for name in (
        "a.mkv",
        "b.MP4",
        "notes.txt",
        ".hidden.mkv",
        "deep/c.mov",
        "deep/deeper/a.mkv",
        ".trash/x.mp4",
    ):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(words=(), lists=(), out="out", **options):
    found = find_inputs(words, lists, Path(out), **options)
    return {source.as_posix(): output.as_posix() for source, output in found.pairs}


def test_a_folder_is_its_videos_and_with_recursive_those_below(tree):
    flat = {"in/a.mkv": "out/a.clean.mkv", "in/b.MP4": "out/b.clean.MP4"}
    assert named(["in"]) == flat
    assert named(["in/"], recursive=True) == flat | {
        "in/deep/c.mov": "out/deep/c.clean.mov",
        "in/deep/deeper/a.mkv": "out/deep/deeper/a.clean.mkv",
    }
    assert find_inputs(["in"], [], Path("out")).others == 1


def test_the_output_folder_inside_the_input_is_not_entered(tree):
    (tree / "in/clean").mkdir()
    (tree / "in/clean/a.mkv").write_bytes(b"x")
    assert "in/clean/a.mkv" not in named(["in"], out="in/clean", recursive=True)


def test_patterns_keep_the_folders_behind_their_fixed_part(tree):
    assert named(["in/*.mkv"]) == {"in/a.mkv": "out/a.clean.mkv"}
    assert named(["in/**/*.m*"]) == {
        "in/a.mkv": "out/a.clean.mkv",
        "in/deep/c.mov": "out/deep/c.clean.mov",
        "in/deep/deeper/a.mkv": "out/deep/deeper/a.clean.mkv",
    }


def test_a_name_that_is_there_is_no_pattern(tree):
    (tree / "in/[b].mkv").write_bytes(b"x")
    (tree / "@a.mkv").write_bytes(b"x")
    assert named(["in/[b].mkv", "@a.mkv"]) == {
        "in/[b].mkv": "out/[b].clean.mkv",
        "@a.mkv": "out/@a.clean.mkv",
    }


def test_one_file_named_twice_is_one(tree):
    (tree / "link.mkv").symlink_to("in/a.mkv")
    assert list(named(["in/a.mkv", "in", "./in/../in/a.mkv", "link.mkv"])) == ["in/a.mkv", "in/b.MP4"]


def test_lists(tree, monkeypatch):
    (tree / "list.txt").write_bytes(b"\xef\xbb\xbf# a remark\r\nin/a.mkv\r\n\r\nin/deep\r\n")
    wanted = {"in/a.mkv": "out/a.clean.mkv", "in/deep/c.mov": "out/c.clean.mov"}
    assert named(["@list.txt"]) == wanted
    assert named(lists=["list.txt"]) == wanted
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"in/deep/c.mov\0in/a.mkv\0")))
    assert named(lists=["-"]) == {"in/deep/c.mov": "out/c.clean.mov", "in/a.mkv": "out/a.clean.mkv"}


@pytest.mark.parametrize(
    ("words", "lists", "message"),
    [
        (["in/a.mkv", "in/deep/deeper/a.mkv"], [], "would both become out/a.clean.mkv"),
        (["in/no.mkv"], [], "in/no.mkv: no such file or folder"),
        (["*.avi"], [], r"no file matches '\*.avi'"),
        (["@no.txt"], [], "list no.txt: cannot be read"),
        ([], ["empty.txt"], "list empty.txt: holds no input"),
        (["-"], [], "must be files"),
        (["rtsp://host/x"], [], "must be files"),
        (["none"], [], "no video was found in none; 1 files are no videos"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(tree, words, lists, message):
    (tree / "empty.txt").write_bytes(b"\n# nothing\n")
    (tree / "none").mkdir()
    (tree / "none/x.txt").write_bytes(b"x")
    with pytest.raises(ConfigError, match=message):
        find_inputs(words, lists, Path("out"))


def test_what_means_many(tree):
    assert all(map(means_many, ("in", "*.mkv", "@list.txt")))
    assert not any(map(means_many, ("in/a.mkv", "-", "rtsp://host/*.mkv", "no.mkv")))
