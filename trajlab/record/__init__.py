"""Record a training run to disk: the Recorder and its schedules."""

from trajlab.record.recorder import Recorder
from trajlab.record.schedules import Schedule, at, bursts, doubling, every

__all__ = ["Recorder", "Schedule", "at", "bursts", "doubling", "every"]
