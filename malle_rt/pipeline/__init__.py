"""Room 5: threads and channels. Knows only the three protocols; no media library, no framework."""

from malle_rt.pipeline.config import PipelineConfig
from malle_rt.pipeline.pipeline import Pipeline, PushSource
from malle_rt.pipeline.stats import Latency, Progress, Report, nearest_rank, percentiles

__all__ = [
    "Latency",
    "Pipeline",
    "PipelineConfig",
    "Progress",
    "PushSource",
    "Report",
    "nearest_rank",
    "percentiles",
]
