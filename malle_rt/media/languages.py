"""Names of languages as MP4 and MOV know them."""

from __future__ import annotations

import functools
import io

import av

__all__ = ["known_language"]

# Languages with two names in ISO 639-2, and QuickTime's own names of some, as FFmpeg has them.
_SAME = [
    {"alb", "sqi"},
    {"arm", "hye"},
    {"baq", "eus"},
    {"bur", "mya"},
    {"chi", "zho"},
    {"cze", "ces"},
    {"dut", "nld"},
    {"fao", "fo "},
    {"fre", "fra"},
    {"geo", "kat"},
    {"ger", "deu"},
    {"gre", "ell"},
    {"hrv", "hr "},
    {"ice", "isl"},
    {"mac", "mkd"},
    {"may", "msa"},
    {"pan", "pa "},
    {"rum", "ron"},
    {"slo", "slk"},
    {"srp", "sr "},
    {"swe", "sve"},
    {"tib", "bod"},
    {"wel", "cym"},
]


@functools.cache
def known_language(format_name: str, language: str) -> str | None:
    """The name of a language that a file of this format keeps; None where there is none.

    MP4 takes every name of three letters, MOV those of QuickTime's table, of two names for one language only one.

    Args:
        format_name: of the muxer.
        language: a name of ISO 639-2, as files have it.
    """
    names = next((same for same in _SAME if language in same), {language})
    return next((name for name in (language, *sorted(names - {language})) if _keeps(format_name, name)), None)


def _keeps(format_name: str, language: str) -> bool:
    """Whether the name is there again, tried on a file that is thrown away."""
    file = io.BytesIO()
    with av.open(file, "w", format=format_name) as container:
        stream = container.add_stream("aac", rate=48000)
        stream.metadata["language"] = language
        silence = av.AudioFrame("fltp", "stereo", 1024)  # an empty track would not be read
        silence.sample_rate = 48000
        for plane in silence.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux([*stream.encode(silence), *stream.encode(None)])
    with av.open(io.BytesIO(file.getvalue())) as container:
        return bool(container.streams[0].metadata.get("language") == language)
