"""The bridge to LEMUR: the only room that imports `ab.nn`."""

from .registry import register, status, unregister
from .root import Lemur, attach
from .store import Store

__all__ = ["Lemur", "Store", "attach", "register", "status", "unregister"]
