"""Segments on the machines of a Ray cluster: the frames of one machine, whatever happens to the others."""

import os
import signal
import threading
import time
from pathlib import Path

import av
import pytest
from media import write_clip

from malle_rt import cluster as clustering
from malle_rt.api import TranscodeOptions
from malle_rt.cluster import Cluster
from malle_rt.config import DenoiseConfig
from malle_rt.errors import BackendUnavailable, ConfigError, SinkError
from malle_rt.media.encode_config import EncodeConfig
from malle_rt.segments.job import SegmentedTranscode, work_folder

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
OPTIONS = TranscodeOptions(config=DenoiseConfig(backend="none"), encode=EncodeConfig(codec="libx264"))
LONGEST = 180.0


@pytest.fixture(scope="module")
def nodes():
    """Three nodes of one processor each, on this machine."""
    from ray.cluster_utils import Cluster as Nodes

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.update(
        {"RAY_worker_niceness": "0", "RAY_raylet_start_wait_time_s": "300"}
    )  # for busy machines
    os.environ["PYTHONPATH"] = str(Path(clustering.__file__).parents[1])
    found = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    found.add_node(num_cpus=1)
    found.add_node(num_cpus=1)
    yield found
    ray.shutdown()
    found.shutdown()


def segmented(source, output, *, cluster=None, options=OPTIONS, longest=24, **more):
    return SegmentedTranscode(source, output, options, longest=longest, shortest=12, cluster=cluster, **more)


def packets(path):
    with av.open(str(path)) as container:
        return [(packet.pts, packet.dts, bytes(packet)) for packet in container.demux() if packet.size]


def wait_for(what):
    end = time.monotonic() + LONGEST
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_three_nodes_make_the_packets_of_one_machine_and_one_may_die(nodes, tmp_path, caplog):
    source = write_clip(tmp_path / "in.mkv", frames=288, size=(160, 96), codec="libx264")
    with segmented(source, tmp_path / "one.mkv", jobs=1) as job:
        job.run()
    third = nodes.worker_nodes and sorted(nodes.worker_nodes, key=lambda node: node.node_id)[0]
    seen, killed = [], []
    output = tmp_path / "out.mkv"
    with segmented(source, output, cluster=Cluster(nodes.address)) as job:
        assert job.jobs == 3 and job.backend.endswith("3 jobs in the cluster")

        def on_progress(progress):
            seen.append(progress.frames_out)
            if not killed and len(list(work_folder(output).glob("*.segment"))) >= 2:
                killed.append(third)
                nodes.remove_node(third, allow_graceful=False)

        report = job.run(on_progress)
    assert killed
    assert report.output == output and report.pipeline.frames_out == 288
    assert seen == sorted(seen) or min(seen) == 0
    assert packets(output) == packets(tmp_path / "one.mkv")
    assert not work_folder(output).exists()
    nodes.add_node(num_cpus=1)


def test_the_one_that_gives_out_the_work_may_be_killed_and_goes_on(nodes, tmp_path):
    source = write_clip(tmp_path / "in.mkv", frames=144, size=(160, 96), codec="libx264")
    output = tmp_path / "out.mkv"
    with segmented(source, output, cluster=Cluster(nodes.address)) as job:
        timer = threading.Thread(target=lambda: (wait_for(lambda: job._made), job.stop()))
        timer.start()
        report = job.run()
        timer.join()
    assert report.output is None and "segments are done" in report.note
    with segmented(source, output, cluster=Cluster(nodes.address)) as job:
        report = job.run()
    assert report.pipeline.earlier >= 24
    with segmented(source, tmp_path / "one.mkv", jobs=1) as job:
        job.run()
    assert packets(output) == packets(tmp_path / "one.mkv")


def test_a_node_of_another_version_or_without_the_file_is_told_apart_and_left_out(
    nodes, tmp_path, monkeypatch, caplog
):
    source = write_clip(tmp_path / "in.mkv", frames=48)
    found = clustering._difference

    def other(facts, wanted, asked=[]):  # noqa: B006
        asked.append(1)
        return found(facts | {"version": "malle-rt 9"}, wanted) if len(asked) == 1 else found(facts, wanted)

    monkeypatch.setattr(clustering, "_difference", other)
    with segmented(source, tmp_path / "out.mkv", cluster=Cluster(nodes.address)) as job:
        job.run()
    assert "has malle-rt 9, here is malle-rt" in caplog.text and "it is left out" in caplog.text
    assert len(packets(tmp_path / "out.mkv")) == 48
    monkeypatch.setattr(clustering, "_difference", lambda *_: "has another file under the source's name")
    with (
        segmented(source, tmp_path / "none.mkv", cluster=Cluster(nodes.address)) as job,
        pytest.raises(BackendUnavailable, match=r"no node of the cluster can .* has another file"),
    ):
        job.run()


def test_through_a_storage_nodes_need_no_common_folder(nodes, tmp_path):
    pytest.importorskip("fsspec")
    source = write_clip(tmp_path / "in.mkv", frames=96, codec="libx264")
    storage = tmp_path / "storage"
    with segmented(source, tmp_path / "out.mkv", cluster=Cluster(nodes.address, f"file://{storage}")) as job:
        job.run()
    with segmented(source, tmp_path / "one.mkv", jobs=1) as job:
        job.run()
    assert packets(tmp_path / "out.mkv") == packets(tmp_path / "one.mkv")
    assert not list(storage.iterdir()), "what is done is gone from it"


def test_s3_holds_source_plans_and_segments(tmp_path, monkeypatch):
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    import s3fs

    try:
        files = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
        files.mkdir("films")
        source = write_clip(tmp_path / "in.mkv", frames=48)
        (tmp_path / "head").mkdir()
        head = clustering.Folder(tmp_path / "head")
        for number in (0, 1):
            head.plan(number).write_bytes(bytes([number]))
        exchange = clustering._Exchange("s3://films/work/malle-rt-1")
        exchange.put_source(source)
        exchange.put_plans(1, head)
        work = clustering.SegmentWork(
            source=str(source), output="o.mkv", folder="f", config=OPTIONS.config, encode=OPTIONS.encode
        )
        node = clustering._Exchange("s3://films/work/malle-rt-1")
        with node.on_this_node(work) as here:
            assert Path(here.source).read_bytes() == source.read_bytes()
            folder = clustering.Folder(Path(here.folder))
            node.get_plans(1, folder)
            assert folder.plan(1).read_bytes() == b"\1"
            folder.segment(1).write_bytes(b"a segment")
            node.put_segment(1, folder)
        assert not (tmp_path / "malle-rt-cluster/malle-rt-1").exists(), "nothing is left on the node"
        exchange.get_segment(1, head)
        assert head.segment(1).read_bytes() == b"a segment"
        exchange.remove()
        assert not files.find("films")
        with pytest.raises(SinkError, match=r"the storage s3://nowhere"):
            clustering._Exchange("s3://nowhere/x").put_source(source)
    finally:
        server.stop()


def test_a_segment_that_ends_its_process_is_made_again_elsewhere(nodes, tmp_path, caplog):
    source = write_clip(tmp_path / "in.mkv", frames=288, size=(160, 96), codec="libx264")
    output = tmp_path / "out.mkv"
    killed = []
    with segmented(source, output, cluster=Cluster(nodes.address)) as job:

        def kill(_):
            for seat in list(job._seats.values()):
                if not killed and job._made:
                    killed.append(ray.get(seat._actor.process.remote(), timeout=30))
                    os.kill(killed[0], signal.SIGKILL)  # as the system does where memory runs out

        job.run(kill)
    assert killed and "it is made again" in caplog.text
    assert len(packets(output)) == 288


@pytest.mark.parametrize(
    ("address", "storage", "message"),
    [
        ("127.0.0.1:1", None, "the Ray cluster 127.0.0.1:1 cannot be joined"),
        ("auto", "nonsense://x", "the storage nonsense://x"),
    ],
)
def test_what_cannot_be_reached_is_one_line(nodes, tmp_path, address, storage, message):
    source = write_clip(tmp_path / "in.mkv", frames=24)
    if storage is None:
        ray.shutdown()
    else:
        address = nodes.address
    with pytest.raises(ConfigError, match=message):
        segmented(source, tmp_path / "out.mkv", cluster=Cluster(address, storage))
