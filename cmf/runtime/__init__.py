"""Runs ``.cmf`` files with the C library."""

from cmf.runtime.api import File, Footprint, NodeInfo, Options, Plan, Session, TensorInfo, WeightInfo, load
from cmf.runtime.library import isa_levels

__all__ = ["File", "Footprint", "NodeInfo", "Options", "Plan", "Session", "TensorInfo", "WeightInfo", "isa_levels",
           "load"]
