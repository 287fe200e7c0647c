"""Files that name others: what they name is not read, but for the segments of a play list that was asked for."""

import http.server
import os
import socket
import threading

import av
import pytest
from media import write_clip

from malle_rt.errors import SourceError
from malle_rt.frame import Frame
from malle_rt.live.capture.device import CaptureRequest
from malle_rt.live.capture.source import open_capture
from malle_rt.media.file_source import FileSource
from malle_rt.media.play_lists import file_options

LISTED = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:1\n{}#EXTINF:0.5,\n{}\n#EXT-X-ENDLIST\n"
XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
MPD = (
    XML + '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S"><Period>'
    "<AdaptationSet><Representation><BaseURL>bait.ts</BaseURL></Representation></AdaptationSet></Period></MPD>"
)
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 33\n"
CONCAT = "ffconcat version 1.0\nfile bait.ts\n"
IMF = XML + '<AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"></AssetMap>'
VOBSUB = "# VobSub index file, v7 (do not modify this line!)\nsize: 64x48\n"


def frames_of(location):
    source = FileSource(location)
    try:
        return sum(isinstance(item, Frame) for item in source)
    finally:
        source.close()


@pytest.fixture
def folder(tmp_path):
    """With a video outside and one beside the lists."""
    inside = tmp_path / "films"
    inside.mkdir()
    for place in (tmp_path, inside):
        write_clip(place / "bait.ts", codec="mpeg2video", frames=12)
    return inside


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("film.mp4", LISTED.format("", "bait.ts"), "HLS"),
        ("film", LISTED.format("", "bait.ts"), "HLS"),
        ("film.mp4", CONCAT, "ffconcat"),
        ("film.ffconcat", CONCAT, "ffconcat"),
        ("film.m3u8", CONCAT, "ffconcat"),
        ("film.mpd", MPD, "DASH"),
        ("film.mkv", MPD, "DASH"),
        ("film.sdp", SDP, "SDP"),
        ("film.mp4", SDP, "SDP"),
        ("ASSETMAP.xml", IMF, "IMF"),
        ("film.idx", VOBSUB, "VobSub"),
    ],
)
def test_a_file_that_names_others_is_refused_and_opens_none(folder, name, text, kind):
    path = folder / name
    path.write_text(text)
    (folder / "film.sub").write_bytes((folder / "bait.ts").read_bytes())  # what an index of subtitles means
    for opened in (lambda: FileSource(path), lambda: open_capture(CaptureRequest(device=str(path)))):
        with pytest.raises(SourceError, match=f"{kind}.*only names other files"):
            opened()


@pytest.mark.parametrize("text", [LISTED.format("", "{}/bait.ts"), CONCAT.replace("bait", "{}/bait"), SDP])
def test_a_pipe_opens_no_files(folder, text):
    path = folder / "pipe"
    os.mkfifo(path)
    feeding = threading.Thread(target=path.write_text, args=(text.replace("{}", str(folder)),))
    feeding.start()
    try:
        with pytest.raises(SourceError):
            FileSource(path)
    finally:
        feeding.join(10)


def test_a_name_is_no_pattern_of_pictures(folder):
    for name in ("p%d.png", "p1.png", "p2.png"):
        with av.open(str(folder / name), "w", format="image2") as container:
            stream = container.add_stream("png", rate=25)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
            container.mux([*stream.encode(av.VideoFrame(16, 16, "rgb24")), *stream.encode()])
    # FFmpeg writes by the pattern, too: the file of that very name is made by hand.
    (folder / "p%d.png").write_bytes((folder / "p1.png").read_bytes())
    assert frames_of(folder / "p%d.png") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "entry"),
    [
        ("", "../bait.ts"),
        ("", "{outside}/bait.ts"),
        ("", "file:{outside}/bait.ts"),
        ("", "file:bait.ts"),
        ("", "linked.ts"),
        ("", "http://127.0.0.1:{port}/a.ts"),
        ("", "HTTP://127.0.0.1:{port}/a.ts"),
        ("", "concat:bait.ts|bait.ts"),
        ("", "subfile,,start,0,end,9,,:bait.ts"),
        ('#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1:{port}/key"\n', "bait.ts"),
        ("#EXT-X-MAP:uri={outside}/bait.ts\n", "bait.ts"),
        ("#EXT-X-STREAM-INF:BANDWIDTH=1\nother.m3u8\n", "bait.ts"),
    ],
)
def test_a_play_list_may_not_leave_its_folder(folder, before, entry):
    (folder / "linked.ts").symlink_to(folder.parent / "bait.ts")
    (folder / "other.m3u8").write_text(LISTED.format("", "../bait.ts"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        words = {"outside": folder.parent, "port": server.getsockname()[1]}
        path = folder / "list.m3u8"
        path.write_text(LISTED.format(before, entry).format(**words))
        with pytest.raises(SourceError, match="not in its folder"):
            FileSource(path)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_line_that_ffmpeg_would_split_is_refused(folder):
    path = folder / "list.m3u8"
    path.write_text(LISTED.format("#" + "x" * 4095 + f"{folder.parent}/bait.ts\n", "bait.ts"))
    with pytest.raises(SourceError, match="line"):
        FileSource(path)


def test_a_play_list_reads_what_lies_below_it(folder):
    parts = folder / "parts"
    parts.mkdir()
    (folder / "bait.ts").rename(parts / "a.ts")
    (parts / "media.m3u8").write_text(LISTED.format("", "a.ts"))
    (folder / "master.m3u8").write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nparts/media.m3u8\n")
    (folder / "absolute.m3u").write_text(LISTED.format("", parts / "a.ts"))
    for name in ("master.m3u8", "absolute.m3u", "parts/media.m3u8"):
        assert frames_of(folder / name) == 12


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_a_play_list_of_a_server_reads_the_server_and_no_file_here(folder):
    (folder / "good.m3u8").write_text(LISTED.format("", "bait.ts"))
    for number, entry in enumerate((f"file:{folder}/bait.ts", f"{folder}/bait.ts")):
        (folder / f"bad{number}.m3u8").write_text(LISTED.format("", entry))
    (folder / "bad2.m3u8").write_text(CONCAT)

    def handler(*args):
        return _Files(*args, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            assert frames_of(f"{address}/good.m3u8") == 12
            for number in range(3):
                with pytest.raises(SourceError):
                    frames_of(f"{address}/bad{number}.m3u8")
        finally:
            server.shutdown()


def test_every_other_kind_of_file_is_still_read(folder):
    readers = file_options(folder / "film.mp4")["format_whitelist"].split(",")
    assert {"mov", "matroska", "mpegts", "mpeg", "avi", "mxf", "dv", "flv", "ogg", "asf"} < set(readers)
    assert {"yuv4mpegpipe", "png_pipe", "image2", "gif", "h264", "hevc"} < set(readers)
