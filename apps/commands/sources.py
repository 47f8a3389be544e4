"""The published weights of a network, as `kerascnn list` and `kerascnn show` tell of them."""

from contextlib import suppress

from ..models import networks
from ..output import bold, next_steps, pairs, table, width

TITLES = ("weights", "state", "top-1", "top-5", "size", "licence", "scale", "note")
WORDS = ("weights", "state", "licence", "scale", "note")
SPARE = ("scale", "top-5", "size")  # what a narrow terminal does without, first things first
SHOWN = 8  # files on the page of a network


def best(sources):
    """The best published top-1 on ImageNet of those that are free for every use; None where there is none."""
    found = (source.top1 for source in sources if source.free and not source.shipped)
    return max((top1 for top1 in found if top1 is not None), default=None)


def described(network):
    """A network's published weights as plain rows, the best first, with what is known of them here."""
    from kerascnn.registry import sources

    here = downloaded()
    return [
        vars(source)
        | {"free": source.free, "shipped": source.shipped, "default": place == 0, "cached": source.file in here}
        for place, source in enumerate(sources().get(network, ()))
    ]


def downloaded():
    """The files in the cache; none where the cache cannot be read, which is no reason to show no network."""
    from kerascnn.weights.cache import cached

    with suppress(OSError):
        return {row.file for row in cached() if row.complete}
    return set()


def weights_section(row, weights, room):
    """The best of a network's weights, a line each; or that there are none, and who in the family has some."""
    if not weights:
        yield from pairs({"weights": nobody(row)}, indent="", room=room)
        return
    few = weights if len(weights) == SHOWN + 1 else weights[:SHOWN]
    yield from table(TITLES, map(cells, few), words=WORDS, spare=SPARE, room=room)
    others = weights[len(few) :]
    if others:
        here = sum(other["cached"] for other in others)
        told = f" ({here} of them cached)" if here else ""
        yield f"and {len(others)} more{told}: kerascnn show {row.name} --weights"


def cells(source):
    return (
        source["name"],
        state(source),
        "" if source["top1"] is None else f"{source['top1']:.2f}",
        "" if source["top5"] is None else f"{source['top5']:.2f}",
        source["crop"],
        source["licence"],
        source["scale"],
        source["note"],
    )


def state(source):
    """Whether these are the weights to begin with, and whether they are here already."""
    return ", ".join(word for word in ("default", "shipped", "cached") if source[word])


def nobody(row):
    """That a network has no published weights, and which of its relatives have some."""
    from kerascnn.registry import matching

    relatives = [other.name for other in matching(networks(), family=row.family, pretrained=True)]
    if not relatives:
        return "nobody publishes any, nor for others of its family"
    return f"nobody publishes any; of its family there are some for {', '.join(relatives)}"


def weights_page(row, weights):
    """All published weights of a network with all that is known of each."""
    room = width()
    yield bold(row.name)
    if not weights:
        yield from pairs({"weights": nobody(row)}, room=room)
        return
    for source in weights:
        yield ""
        yield bold(source["name"]) + (f"  {state(source)}" if state(source) else "")
        yield from pairs(facts(source), room=room)
    best = f'kerascnn.build_model("{row.name}", weights="imagenet")'
    yield from next_steps(
        {
            **({} if weights[0]["shipped"] else {best: "the default"}),
            f'kerascnn.build_model("{row.name}", weights="{weights[0]["name"]}")': "by name",
            "kerascnn cache": "what is here",
        }
    )


def facts(source):
    """What is known of a file of weights, in words."""
    accuracy = f"top-1 {source['top1']:.3f} %, top-5 {source['top5']:.3f} %" if source["top1"] else "not published"
    side = source["crop"]
    told = {
        "CIFAR-10" if source["shipped"] else "ImageNet": accuracy,
        "photos": f"{side}x{side} from the middle, short side {source['resize']}, {source['interpolation']}",
        "licence": source["licence"],
        "scale": source["scale"],
        "note": source["note"],
        "address": source["address"],
        "file": source["file"],
        "hash": source["hash"] or "none published",
    }
    return {name: text for name, text in told.items() if text}
