"""The pages of `kerascnn show`: a network of the zoo, a model file, a network layer by layer."""

import os
import textwrap
from functools import partial

from ..output import bar, bold, cut, dim, exact, next_steps, pairs, percent, short, sides, table, width
from .sources import weights_section

COUNTS = ("counts", "counted", "published", "difference")
PLACES = {"arXiv:": "https://arxiv.org/abs/", "doi:": "https://doi.org/"}


def network_page(row, weights):
    """A network's card, its counts beside the published ones, its stages, its weights, what to try next."""
    room = width()
    yield bold(row.name)
    yield from pairs(facts(row), room=room)
    yield ""
    yield from table(COUNTS, counts(row), words=COUNTS[:1], room=room)
    if row.published["params"] or row.published["macs"]:
        yield from pairs({"published by": row.published["source"]}, indent="", room=room)
    yield ""
    yield from stage_table(row.stages, row.params, row.macs, room)
    yield ""
    yield from weights_section(row, weights, room)
    yield from next_steps(steps(row, weights))


def steps(row, weights):
    """What to try next with a network."""
    predict = {f"kerascnn predict {row.name} photo.jpg": "what it shows"} if weights else {}
    asked = [source["name"] if source["shipped"] else "imagenet" for source in weights[:1]]
    options = f'weights="{asked[0]}"' if asked else "classes=10"
    return predict | {
        f"kerascnn show {row.name} --layers": "layer by layer",
        f"kerascnn show {row.name} --diagram net.svg": "draw it",
        f"kerascnn list --family {row.family}": "its relatives",
        f'kerascnn.build_model("{row.name}", {options})': "Python",
    }


def facts(row):
    """What the card says, in words."""
    smallest = f", at least {row.min_size}x{row.min_size}" if getattr(row, "min_size", None) else ""
    told = {
        "family": f"{row.family}, {row.year}",
        "paper": link(row.paper),
        "version": row.fidelity,
        "input": f"{sides(row.input_shape)}, pixels 0..255{smallest}",
        "classes": row.classes,
        "auxiliary": ", ".join(row.aux) if row.aux else "",
    }
    return {name: text for name, text in told.items() if text not in ("", "none")}


def link(paper):
    """A paper's address, where it has one."""
    for sign, place in PLACES.items():
        if paper.startswith(sign):
            return place + paper.removeprefix(sign)
    return paper


def counts(row):
    """Rows of the table of counts."""
    yield ("parameters", *beside(row.params, row.published["params"], exact))
    yield ("multiply-adds", *beside(row.macs, row.published["macs"], partial(short, digits=5, padded=False)))
    if row.total != row.params:
        yield ("with statistics of norms", exact(row.total), "", "")


def beside(counted, published, written):
    """Counted, published as it is ``written``, and their difference."""
    if published is None or counted is None:
        return exact(counted), "-", ""
    off = 100 * (counted - published) / published
    told = "none" if counted == published else "< 0.01 %" if abs(off) < 0.01 else f"{off:+.2f} %"
    return exact(counted), written(published), told


def stage_table(stages, params, macs, room):
    """Stage by stage: the shape at its end, and its share of parameters and multiply-adds."""
    titles = ("stage", "output", "parameters", "share", "multiply-adds", "share ")
    rows = [
        (
            stage["name"],
            sides(stage["shape"]),
            exact(stage["params"]),
            percent(stage["params"], params),
            short(stage["macs"]),
            percent(stage["macs"], macs),
        )
        for stage in stages
    ]
    total = ("total", "", exact(params), "", short(macs), "")
    head, *body, last = table(titles, [*rows, total], words=("stage", "output"))
    yield head
    for line, stage in zip(body, stages, strict=True):
        yield cut(f"{line}  {bar(stage['macs'], macs)}".rstrip(), room)
    yield last


def file_page(anatomy, path):
    """A model file: its totals, and its layers by kind."""
    room = width()
    yield bold(anatomy.name)
    yield from pairs(totals(anatomy, path), room=room)
    yield ""
    titles = ("kind", "layers", "parameters", "share", "mult-adds", "share ")
    cells = [
        (kind, layers, exact(own), percent(own, anatomy.params), short(macs), percent(macs or 0, anatomy.macs))
        for kind, (layers, own, macs) in by_kind(anatomy.rows).items()
    ]
    yield from table(titles, cells, words=("kind",), room=room)
    yield from next_steps(
        {f"kerascnn show {path} --layers": "layer by layer", f"kerascnn show {path} --diagram net.svg": "draw it"}
    )


def totals(anatomy, path):
    """What a model reads, gives and costs, in words."""
    read = {name for row in anatomy.rows for name in row.inputs}
    ends = {
        "input": [row for row in anatomy.rows if not row.inputs],
        "output": [row for row in anatomy.rows if row.name not in read],
    }
    told = {what: ", ".join(f"{row.name} {sides(row.shape)}" for row in rows) for what, rows in ends.items()}
    return {
        "file": f"{path}, {short(os.path.getsize(path))}B",
        **told,
        "parameters": f"{exact(anatomy.params)}, of which {exact(anatomy.trainable)} trainable",
        "multiply-adds": f"{exact(anatomy.macs)} for one image",
        "activations": f"{exact(anatomy.activations)} for one image",
    }


def by_kind(rows):
    """How many layers of each kind there are, and what they cost together; the costly kinds first."""
    kinds = {}
    for row in rows:
        number, params, macs = kinds.get(row.kind, (0, 0, 0))
        macs = None if macs is None or row.macs is None else macs + row.macs
        kinds[row.kind] = number + 1, params + row.params, macs
    return dict(sorted(kinds.items(), key=lambda kind: kind[1][1], reverse=True))


NARROW = {  # column -> cell; fits 100 columns for most networks
    "layer": lambda row: row.name,
    "output": lambda row: sides(row.shape),
    "parameters": lambda row: exact(row.params) if row.params else "",
    "mult-adds": lambda row: short(row.macs) if row.macs or row.macs is None else "",
    "field": lambda row: "all" if row.sees == "whole" else sides(row.receptive or "-"),
    "stride": lambda row: "x".join(f"{step:g}" for step in row.stride) if row.stride else "",
}


def layers_page(anatomy):
    """The whole table where it fits, else fewer columns."""
    room = width()
    lines = anatomy.to_text().splitlines()
    rule = max(i for i, line in enumerate(lines) if set(line) == {"-"})
    if room is None or len(lines[rule]) <= room:
        yield from lines
        return
    yield bold(anatomy.name)
    cells = [[cell(row) for cell in NARROW.values()] for row in anatomy.rows]
    yield from table([*NARROW], cells, words=("layer", "output"), spare=("stride", "output"), room=room)
    yield ""
    for line in lines[rule + 1 :]:
        yield from textwrap.wrap(line, room, subsequent_indent="  ")
    yield dim(f"In {len(lines[rule])} columns there is room for kinds of layers, exact counts, activations.")
