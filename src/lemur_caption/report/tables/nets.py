"""Every Net: what it is made of, how large it is, and what it reached."""

from __future__ import annotations

from ...kinds import PARTS
from ..source import Net, Source
from ..table import Column, Row, Table


def table(source: Source) -> Table:
    columns = (
        Column("id", "candidate"),
        Column("net", "Net", "name"),
        Column("family", "family"),
        Column("outcome", "outcome"),
        Column("metric", "metric"),
        Column("last", "after the last epoch", "metric"),
        Column("epochs", "epochs", "count"),
        Column("parameters", "parameters", "count"),
        Column("flops", "FLOPs", "count"),
        Column("encoder", "encoder"),
        Column("channel_attention", "channel attention"),
        Column("memory", "memory"),
        Column("memory_size", "memory size", "count"),
        Column("decoder", "decoder"),
        Column("attention", "attention"),
        Column("hidden_size", "hidden size", "count"),
        Column("layers", "layers", "count"),
        Column("heads", "heads", "count"),
        Column("tied_embeddings", "tied embeddings"),
        Column("channels", "channels", "count"),
        Column("cells", "cells", "count"),
        Column("encoder_layers", "encoder layers", "count"),
        Column("width", "width", "count"),
        Column("depth", "depth", "count"),
        Column("quality", "code quality", "factor"),
        Column("read_from", "parts read from"),
    )
    nets = [net for net in source.nets if net.entry.candidate.source or net.entry.candidate.design]
    rows = [_row(net) for net in sorted(nets, key=lambda net: -1 if net.score is None else net.score, reverse=True)]
    note = (
        "Parts and FLOPs are read from a run of the trained Net, by what its operators do and not by names; of Nets without "
        "such a run from the design, or else from the code. FLOPs are those of one image and its longest caption, teacher-"
        "forced, two a multiply-add. `code quality` is LEMUR's rating. Of answers without code there is nothing to list."
    )
    return Table("nets", "The Nets", columns, rows, note)


def _row(net: Net) -> Row:
    candidate = net.entry.candidate
    return {
        "id": net.id,
        "net": candidate.name,
        "family": net.family,
        "outcome": net.outcome,
        "metric": net.recorded.metric,
        "last": net.score,
        "epochs": len(candidate.epochs),
        "parameters": candidate.parameters,
        "flops": candidate.flops,
        **{part: getattr(net.kinds, part) for part in PARTS},
        "quality": net.entry.quality,
        "read_from": net.kinds.read_from,
    }
