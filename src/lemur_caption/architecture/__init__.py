"""The design space of captioning Nets, and the renderer from a design to a Net file.

A `Design` names an encoder, a decoder and how to train them; every design is sound by construction.
`render` turns it into one complete, stand-alone LEMUR Net file.
"""

from .baselines import baseline_design
from .design import Design
from .render import render
from .space import default_design, describe, json_schema, random_design

__all__ = ["Design", "baseline_design", "default_design", "describe", "json_schema", "random_design", "render"]
