"""`kerascnn show`: the architecture of a network or of a model file."""

import os
import textwrap
from contextlib import suppress
from functools import partial

import click

from kerascnn.support.text import clip_line, format_shape

from ..backend import load_keras
from ..errors import BadFile, Misuse, raise_as, writing
from ..models import ModelSource, catalog_rows, complete_names_and_files, find_network
from ..options import Command, new_file_option
from ..output import (
    bar,
    bold,
    dim,
    format_count,
    format_exact,
    format_pairs,
    format_table,
    next_steps,
    percent,
    print_result,
    terminal_width,
)

COUNTS = ("counts", "counted", "published", "difference")
PLACES = {"arXiv:": "https://arxiv.org/abs/", "doi:": "https://doi.org/"}
WEIGHTS_TITLES = ("weights", "state", "top-1", "top-5", "size", "license", "scale", "note")
WEIGHTS_WORDS = ("weights", "state", "license", "scale", "note")
WEIGHTS_SPARE = ("scale", "top-5", "size")  # columns that a narrow terminal drops, in this order
SHOWN = 8  # weights listed on the page of a network


@click.command("show", cls=Command)
@click.argument("network", metavar="NAME|FILE", shell_complete=complete_names_and_files)
@click.option("--layers", is_flag=True, help="Show every layer: shapes, parameters, memory, receptive fields.")
@click.option("--weights", is_flag=True, help="Show all published weights: accuracy, license, URL, file, hash.")
@new_file_option("--diagram", "network.svg", (".svg",), "Save a block diagram.")
def show_command(network, layers, weights, diagram):
    """Show the architecture of a network, stage by stage.

    NAME is a network listed by `kerascnn list`. FILE is any Keras model, .keras or .h5.
    """
    row = find_network(network)
    if row is None and weights:
        raise Misuse(
            f"`--weights` needs the name of a network in the zoo. Received: {network}", f"kerascnn show {network}"
        )
    model = None
    if row is None or layers or diagram:
        load_keras()
        from kerascnn import outline

        model = ModelSource(network).open() if row is None else outline(row.name)  # allocates no weights
    anatomy = dissect_model(model, network) if row is None or layers else None
    published = describe_weights(row.name) if row else None
    result = vars(row) | {"weights": published} if row else file_summary(model, network, anatomy)
    if layers:
        result |= layers_result(anatomy)
    if diagram:
        result |= {"diagram": save_diagram(model, diagram)}
    print_result("show", result, page_lines(row, network, anatomy, published, layers, weights, diagram))


def page_lines(row, network, anatomy, published, layers, weights, diagram):
    """The text of the result."""
    if layers:
        yield from layers_page(anatomy)
    elif row is None:
        yield from file_page(anatomy, network)
    if weights:
        yield from weights_page(row, published)
    elif row and not layers and not diagram:
        yield from network_page(row, published)
    if diagram:
        yield f"diagram: {diagram} (open it in a browser)"


def file_summary(model, path, anatomy):
    return {"name": model.name, "file": path, "totals": anatomy.totals}


def layers_result(anatomy):
    import json

    stated = json.loads(anatomy.to_json())
    return {"totals": stated["totals"], "layers": stated["rows"]}


def dissect_model(model, path):
    """The anatomy of a model."""
    from kerascnn import dissect

    with raise_as(BadFile, f"cannot analyze {path}: "):
        return dissect(model)


def save_diagram(model, path):
    """Write the block diagram and return its path."""
    from kerascnn import diagram

    with writing(path):
        return str(diagram(model).save(path))


def network_page(row, weights):
    """A network's card, its counts against the published ones, its stages, weights and next steps."""
    room = terminal_width()
    yield bold(row.name)
    yield from format_pairs(card_facts(row), room=room)
    yield ""
    yield from format_table(COUNTS, count_rows(row), words=COUNTS[:1], room=room)
    if row.published["params"] or row.published["macs"]:
        yield from format_pairs({"published by": row.published["source"]}, indent="", room=room)
    yield ""
    yield from stage_table(row.stages, row.params, row.macs, room)
    yield ""
    yield from weights_section(row, weights, room)
    yield from next_steps(next_commands(row, weights))


def next_commands(row, weights):
    """What to try next with a network."""
    predict = {f"kerascnn predict {row.name} photo.jpg": "classify a photo"} if weights else {}
    from kerascnn.zoo.registry import default_weights

    options = f'weights="{default_weights(row.name)}"' if weights else "classes=10"
    return predict | {
        f"kerascnn show {row.name} --layers": "all layers",
        f"kerascnn show {row.name} --diagram net.svg": "block diagram",
        f"kerascnn list --family {row.family}": "related networks",
        f'kerascnn.build_model("{row.name}", {options})': "Python",
    }


def card_facts(row):
    """The facts of a card as text."""
    smallest = f", at least {row.min_size}x{row.min_size}" if getattr(row, "min_size", None) else ""
    facts = {
        "family": f"{row.family}, {row.year}",
        "paper": paper_link(row.paper),
        "version": row.fidelity,
        "input": f"{format_shape(row.input_shape)}, pixels 0..255{smallest}",
        "classes": row.classes,
        "auxiliary": ", ".join(row.aux) if row.aux else "",
    }
    return {name: text for name, text in facts.items() if text not in ("", "none")}


def paper_link(paper):
    """The URL of a paper, if it has one."""
    for sign, place in PLACES.items():
        if paper.startswith(sign):
            return place + paper.removeprefix(sign)
    return paper


def count_rows(row):
    """Rows of the table of counts."""
    yield ("parameters", *compare_counts(row.params, row.published["params"], format_exact))
    yield (
        "multiply-adds",
        *compare_counts(row.macs, row.published["macs"], partial(format_count, digits=5, padded=False)),
    )
    if row.total != row.params:
        yield ("with normalization statistics", format_exact(row.total), "", "")


def compare_counts(counted, published, written):
    """Our count, the published count as formatted by ``written``, and their difference."""
    if published is None or counted is None:
        return format_exact(counted), "-", ""
    off = 100 * (counted - published) / published
    facts = "none" if counted == published else "< 0.01 %" if abs(off) < 0.01 else f"{off:+.2f} %"
    return format_exact(counted), written(published), facts


def stage_table(stages, params, macs, room):
    """Output shape, parameters and multiply-adds of each stage, with their shares."""
    titles = ("stage", "output", "parameters", "share", "multiply-adds", "share ")
    rows = [
        (
            stage["name"],
            format_shape(stage["shape"]),
            format_exact(stage["params"]),
            percent(stage["params"], params),
            format_count(stage["macs"]),
            percent(stage["macs"], macs),
        )
        for stage in stages
    ]
    total = ("total", "", format_exact(params), "", format_count(macs), "")
    head, *body, last = format_table(titles, [*rows, total], words=("stage", "output"))
    yield head
    for line, stage in zip(body, stages, strict=True):
        yield clip_line(f"{line}  {bar(stage['macs'], macs)}".rstrip(), room)
    yield last


def file_page(anatomy, path):
    """Totals of a model file, and its layers by type."""
    room = terminal_width()
    yield bold(anatomy.name)
    yield from format_pairs(file_totals(anatomy, path), room=room)
    yield ""
    titles = ("kind", "layers", "parameters", "share", "mult-adds", "share ")
    cells = [
        (
            kind,
            layers,
            format_exact(own),
            percent(own, anatomy.params),
            format_count(macs),
            percent(macs or 0, anatomy.macs),
        )
        for kind, (layers, own, macs) in totals_by_type(anatomy.rows).items()
    ]
    yield from format_table(titles, cells, words=("kind",), room=room)
    yield from next_steps(
        {f"kerascnn show {path} --layers": "all layers", f"kerascnn show {path} --diagram net.svg": "block diagram"}
    )


def file_totals(anatomy, path):
    """Inputs, outputs and costs of a model as text."""
    read = {name for row in anatomy.rows for name in row.inputs}
    ends = {
        "input": [row for row in anatomy.rows if not row.inputs],
        "output": [row for row in anatomy.rows if row.name not in read],
    }
    facts = {what: ", ".join(f"{row.name} {format_shape(row.shape)}" for row in rows) for what, rows in ends.items()}
    return {
        "file": f"{path}, {format_count(os.path.getsize(path))}B",
        **facts,
        "parameters": f"{format_exact(anatomy.params)}, of which {format_exact(anatomy.trainable)} trainable",
        "multiply-adds": f"{format_exact(anatomy.macs)} per image",
        "activations": f"{format_exact(anatomy.activations)} per image",
    }


def totals_by_type(rows):
    """{layer type: (number, parameters, multiply-adds)}, the largest first."""
    kinds = {}
    for row in rows:
        number, params, macs = kinds.get(row.kind, (0, 0, 0))
        macs = None if macs is None or row.macs is None else macs + row.macs
        kinds[row.kind] = number + 1, params + row.params, macs
    return dict(sorted(kinds.items(), key=lambda kind: kind[1][1], reverse=True))


NARROW = {  # column -> cell; fits in 100 characters for most networks
    "layer": lambda row: row.name,
    "output": lambda row: format_shape(row.shape),
    "parameters": lambda row: format_exact(row.params) if row.params else "",
    "mult-adds": lambda row: format_count(row.macs) if row.macs or row.macs is None else "",
    "field": lambda row: "all" if row.receptive_status == "whole" else format_shape(row.receptive_field or "-"),
    "stride": lambda row: "x".join(f"{step:g}" for step in row.stride) if row.stride else "",
}


def layers_page(anatomy):
    """The full table if it fits the terminal, else fewer columns."""
    room = terminal_width()
    lines = anatomy.to_text().splitlines()
    rule = max(i for i, line in enumerate(lines) if set(line) == {"-"})
    if room is None or len(lines[rule]) <= room:
        yield from lines
        return
    yield bold(anatomy.name)
    cells = [[cell(row) for cell in NARROW.values()] for row in anatomy.rows]
    yield from format_table([*NARROW], cells, words=("layer", "output"), spare=("stride", "output"), room=room)
    yield ""
    for line in lines[rule + 1 :]:
        yield from textwrap.wrap(line, room, subsequent_indent="  ")
    yield dim(f"A terminal of {len(lines[rule])} columns also shows layer types, exact counts and activations.")


def describe_weights(network):
    """A network's published weights as plain rows, the best first, and whether they are cached."""
    from kerascnn.zoo.registry import default_source, weights_sources

    here, default = files_in_cache(), default_source(network)
    return [
        vars(source)
        | {
            "free": source.is_free,
            "shipped": source.is_shipped,
            "default": source is default,
            "cached": source.file in here,
        }
        for source in weights_sources().get(network, ())
    ]


def files_in_cache():
    """The files in the cache; none if it cannot be read."""
    from kerascnn.support.store import list_cached_files

    with suppress(OSError):
        return {row.file for row in list_cached_files() if row.complete}
    return set()


def weights_section(row, weights, room):
    """The best weights of a network, one per line; if there are none, related networks with weights."""
    if not weights:
        yield from format_pairs({"weights": no_weights_text(row)}, indent="", room=room)
        return
    few = weights if len(weights) == SHOWN + 1 else weights[:SHOWN]
    yield from format_table(
        WEIGHTS_TITLES, map(weights_cells, few), words=WEIGHTS_WORDS, spare=WEIGHTS_SPARE, room=room
    )
    others = weights[len(few) :]
    if others:
        here = sum(other["cached"] for other in others)
        facts = f" ({here} of them cached)" if here else ""
        yield f"and {len(others)} more{facts}: kerascnn show {row.name} --weights"
    yield from size_note(row, weights[0], room)


def size_note(row, default, room):
    """That the default weights are for another size than the counts, where they are."""
    side, shape = default["crop"], tuple(row.input_shape[:2])
    if (side, side) != shape:
        text = (
            f"The default weights were measured at {side}x{side} pixels, so models with them take this size. "
            f"The counts above are for {format_shape(shape)}."
        )
        yield ""
        yield from textwrap.wrap(text, room or len(text))


def weights_cells(source):
    return (
        source["name"],
        weights_state(source),
        "" if source["top1"] is None else f"{source['top1']:.2f}",
        "" if source["top5"] is None else f"{source['top5']:.2f}",
        source["crop"],
        source["license"],
        source["scale"],
        source["note"],
    )


def weights_state(source):
    """Whether weights are the default, shipped, or cached."""
    return ", ".join(word for word in ("default", "shipped", "cached") if source[word])


def no_weights_text(row):
    """That a network has no published weights, and which related networks have some."""
    from kerascnn.zoo.registry import filter_networks

    relatives = [other.name for other in filter_networks(catalog_rows(), family=row.family, pretrained=True)]
    if not relatives:
        return "none published for this network or its family"
    return f"none published; related networks with weights: {', '.join(relatives)}"


def weights_page(row, weights):
    """All published weights of a network in detail."""
    room = terminal_width()
    yield bold(row.name)
    if not weights:
        yield from format_pairs({"weights": no_weights_text(row)}, room=room)
        return
    for source in weights:
        yield ""
        yield bold(source["name"]) + (f"  {weights_state(source)}" if weights_state(source) else "")
        yield from format_pairs(weights_facts(source), room=room)
    best = f'kerascnn.build_model("{row.name}", weights="imagenet")'
    yield from next_steps(
        {
            **({} if weights[0]["shipped"] else {best: "the default"}),
            f'kerascnn.build_model("{row.name}", weights="{weights[0]["name"]}")': "by name",
            "kerascnn cache": "downloaded weights",
        }
    )


def weights_facts(source):
    """The facts about a weights file as text."""
    accuracy = "no exact figure published"
    if source["top1"]:
        accuracy = f"top-1 {source['top1']:.3f} %, top-5 {source['top5']:.3f} %"
    side = source["crop"]
    facts = {
        "CIFAR-10" if source["shipped"] else "ImageNet": accuracy,
        "photos": f"center crop {side}x{side}, short side {source['resize']}, {source['interpolation']}",
        "license": source["license"],
        "scale": source["scale"],
        "note": source["note"],
        "address": source["address"],
        "file": source["file"],
        "mirror": source["mirror"],
        "hash": source["hash"] or "stated by the hub at download",
    }
    return {name: text for name, text in facts.items() if text}
