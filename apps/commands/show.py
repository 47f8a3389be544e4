"""`kerascnn show`: one network of the zoo, or a model file, on a page."""

import os
import textwrap
from contextlib import suppress
from functools import partial

import click

from kerascnn.support.text import cut_line, sides

from ..backend import load_keras
from ..errors import BadFile, Misuse, failing_as, writing
from ..models import Source, complete_names_and_files, find_network, networks
from ..options import Command, new_file_option
from ..output import answer, bar, bold, dim, exact, next_steps, pairs, percent, short, table, width

COUNTS = ("counts", "counted", "published", "difference")
PLACES = {"arXiv:": "https://arxiv.org/abs/", "doi:": "https://doi.org/"}
WEIGHTS_TITLES = ("weights", "state", "top-1", "top-5", "size", "license", "scale", "note")
WEIGHTS_WORDS = ("weights", "state", "license", "scale", "note")
WEIGHTS_SPARE = ("scale", "top-5", "size")  # what a narrow terminal does without, first things first
SHOWN = 8  # files on the page of a network


@click.command("show", cls=Command)
@click.argument("network", metavar="NAME|FILE", shell_complete=complete_names_and_files)
@click.option("--layers", is_flag=True, help="Layer by layer: shapes, counts, memory, receptive fields.")
@click.option("--weights", is_flag=True, help="All its published weights: accuracy, license, address, file, hash.")
@new_file_option("--diagram", "network.svg", (".svg",), "Draw it as blocks.")
def command(network, layers, weights, diagram):
    """Show a network: what it is, how large, stage by stage.

    NAME is a network that `kerascnn list` names. FILE is any Keras model, .keras or .h5.
    """
    row = find_network(network)
    if row is None and weights:
        raise Misuse(f"--weights is about a network of the zoo. Received: {network}", f"kerascnn show {network}")
    model = None
    if row is None or layers or diagram:
        load_keras()
        from kerascnn import outline

        model = Source(network).open() if row is None else outline(row.name)  # without memory for weights
    anatomy = dissect_model(model, network) if row is None or layers else None
    published = describe_weights(row.name) if row else None
    result = vars(row) | {"weights": published} if row else summary(model, network, anatomy)
    if layers:
        result |= layers_result(anatomy)
    if diagram:
        result |= {"diagram": draw_diagram(model, diagram)}
    answer("show", result, page_lines(row, network, anatomy, published, layers, weights, diagram))


def page_lines(row, network, anatomy, published, layers, weights, diagram):
    """The text of the answer."""
    if layers:
        yield from layers_page(anatomy)
    elif row is None:
        yield from file_page(anatomy, network)
    if weights:
        yield from weights_page(row, published)
    elif row and not layers and not diagram:
        yield from network_page(row, published)
    if diagram:
        yield f"drawn: {diagram} (a browser shows it)"


def summary(model, path, anatomy):
    return {"name": model.name, "file": path, "totals": anatomy.totals}


def layers_result(anatomy):
    import json

    stated = json.loads(anatomy.to_json())
    return {"totals": stated["totals"], "layers": stated["rows"]}


def dissect_model(model, path):
    """The model's anatomy."""
    from kerascnn import dissect

    with failing_as(BadFile, f"{path} cannot be taken apart: "):
        return dissect(model)


def draw_diagram(model, path):
    """Write the block diagram, and return where it is."""
    from kerascnn import diagram

    with writing(path):
        return str(diagram(model).save(path))


def network_page(row, weights):
    """A network's card, its counts beside the published ones, its stages, its weights, what to try next."""
    room = width()
    yield bold(row.name)
    yield from pairs(card_facts(row), room=room)
    yield ""
    yield from table(COUNTS, counts(row), words=COUNTS[:1], room=room)
    if row.published["params"] or row.published["macs"]:
        yield from pairs({"published by": row.published["source"]}, indent="", room=room)
    yield ""
    yield from stage_table(row.stages, row.params, row.macs, room)
    yield ""
    yield from weights_section(row, weights, room)
    yield from next_steps(next_commands(row, weights))


def next_commands(row, weights):
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


def card_facts(row):
    """What the card says, in words."""
    smallest = f", at least {row.min_size}x{row.min_size}" if getattr(row, "min_size", None) else ""
    told = {
        "family": f"{row.family}, {row.year}",
        "paper": paper_link(row.paper),
        "version": row.fidelity,
        "input": f"{sides(row.input_shape)}, pixels 0..255{smallest}",
        "classes": row.classes,
        "auxiliary": ", ".join(row.aux) if row.aux else "",
    }
    return {name: text for name, text in told.items() if text not in ("", "none")}


def paper_link(paper):
    """A paper's address, where it has one."""
    for sign, place in PLACES.items():
        if paper.startswith(sign):
            return place + paper.removeprefix(sign)
    return paper


def counts(row):
    """Rows of the table of counts."""
    yield ("parameters", *compare_counts(row.params, row.published["params"], exact))
    yield ("multiply-adds", *compare_counts(row.macs, row.published["macs"], partial(short, digits=5, padded=False)))
    if row.total != row.params:
        yield ("with statistics of norms", exact(row.total), "", "")


def compare_counts(counted, published, written):
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
        yield cut_line(f"{line}  {bar(stage['macs'], macs)}".rstrip(), room)
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


def describe_weights(network):
    """A network's published weights as plain rows, the best first, with what is known of them here."""
    from kerascnn.zoo.registry import sources

    here = cached_files()
    return [
        vars(source)
        | {"free": source.free, "shipped": source.shipped, "default": place == 0, "cached": source.file in here}
        for place, source in enumerate(sources().get(network, ()))
    ]


def cached_files():
    """The files in the cache; none where the cache cannot be read, which is no reason to show no network."""
    from kerascnn.support.store import cached

    with suppress(OSError):
        return {row.file for row in cached() if row.complete}
    return set()


def weights_section(row, weights, room):
    """The best of a network's weights, a line each; or that there are none, and who in the family has some."""
    if not weights:
        yield from pairs({"weights": no_weights_text(row)}, indent="", room=room)
        return
    few = weights if len(weights) == SHOWN + 1 else weights[:SHOWN]
    yield from table(WEIGHTS_TITLES, map(weights_cells, few), words=WEIGHTS_WORDS, spare=WEIGHTS_SPARE, room=room)
    others = weights[len(few) :]
    if others:
        here = sum(other["cached"] for other in others)
        told = f" ({here} of them cached)" if here else ""
        yield f"and {len(others)} more{told}: kerascnn show {row.name} --weights"


def weights_cells(source):
    return (
        source["name"],
        state(source),
        "" if source["top1"] is None else f"{source['top1']:.2f}",
        "" if source["top5"] is None else f"{source['top5']:.2f}",
        source["crop"],
        source["license"],
        source["scale"],
        source["note"],
    )


def state(source):
    """Whether these are the weights to begin with, and whether they are here already."""
    return ", ".join(word for word in ("default", "shipped", "cached") if source[word])


def no_weights_text(row):
    """That a network has no published weights, and which of its relatives have some."""
    from kerascnn.zoo.registry import matching

    relatives = [other.name for other in matching(networks(), family=row.family, pretrained=True)]
    if not relatives:
        return "nobody publishes any, nor for others of its family"
    return f"nobody publishes any; of its family there are some for {', '.join(relatives)}"


def weights_page(row, weights):
    """All published weights of a network with all that is known of each."""
    room = width()
    yield bold(row.name)
    if not weights:
        yield from pairs({"weights": no_weights_text(row)}, room=room)
        return
    for source in weights:
        yield ""
        yield bold(source["name"]) + (f"  {state(source)}" if state(source) else "")
        yield from pairs(weights_facts(source), room=room)
    best = f'kerascnn.build_model("{row.name}", weights="imagenet")'
    yield from next_steps(
        {
            **({} if weights[0]["shipped"] else {best: "the default"}),
            f'kerascnn.build_model("{row.name}", weights="{weights[0]["name"]}")': "by name",
            "kerascnn cache": "what is here",
        }
    )


def weights_facts(source):
    """What is known of a file of weights, in words."""
    accuracy = f"top-1 {source['top1']:.3f} %, top-5 {source['top5']:.3f} %" if source["top1"] else "not published"
    side = source["crop"]
    told = {
        "CIFAR-10" if source["shipped"] else "ImageNet": accuracy,
        "photos": f"{side}x{side} from the middle, short side {source['resize']}, {source['interpolation']}",
        "license": source["license"],
        "scale": source["scale"],
        "note": source["note"],
        "address": source["address"],
        "file": source["file"],
        "hash": source["hash"] or "none published",
    }
    return {name: text for name, text in told.items() if text}
