"""From a source to a file without a denoiser, and back."""

from media import read_frames

from malle_rt.media.file_sink import FileSink
from malle_rt.media.file_source import FileSource


def transcode(path, target, config=None, **options):
    """Source to sink without a denoiser; gives the frames of the result and its open template's values."""
    source = FileSource(path)
    try:
        sink = FileSink(target, source, config, **options)
        for item in source:
            sink.write(item)
        sink.finish()
    finally:
        source.close()
    return sink


def read(path):
    source = FileSource(path)
    try:
        return source.info, source.template, *read_frames(source)
    finally:
        source.close()
