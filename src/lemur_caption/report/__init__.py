"""What searches came to: tables and charts of recorded runs, for people and for programs."""

from .source import RecordedRun, Source, Stored
from .table import Column, Table
from .tables import TABLES, build

__all__ = ["TABLES", "Column", "RecordedRun", "Source", "Stored", "Table", "build"]
