"""Every candidate with its whole trail, in a SQLite database beside LEMUR's that no update of LEMUR deletes."""

from .candidates import Entry, State
from .claims import Claim
from .records import Records, database_path
from .runs import Run, RunState

__all__ = ["Claim", "Entry", "Records", "Run", "RunState", "State", "database_path"]
