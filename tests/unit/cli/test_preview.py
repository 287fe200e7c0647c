"""No option of transcode is dropped by --preview in silence."""

from malle_rt.cli import _parser
from malle_rt.cli.transcode import _OF_VIDEOS

USED = {"files", "preview", "start", "overwrite", "deinterlace", "quiet", "verbose", "run", "defaults"}
USED |= {
    "model",
    "chroma_strength",
    "mix",
    "backend",
    "precision",
    "cuda_adapter",
    "gpu",
    "engine",
    "trust_engine",
    "preset_for",
}
OF_MANY = {"output_dir", "recursive", "list", "skip_existing"}


def test_every_option_is_used_or_refused():
    options = vars(_parser().parse_args(["transcode", "in.mp4", "--preview", "4"]))
    assert set(options) == USED | OF_MANY | set(_OF_VIDEOS)
