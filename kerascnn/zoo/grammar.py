"""[[CONV-RELU]*N-POOL?]*M-[FC-RELU]*K-FC: the grammar of early networks, parsed and built."""

import re

from keras import layers

from ..support.text import nearest
from .layers import LocalResponseNorm, conv, logits, norm

STEPS = {
    "CONV": None,
    "FC": None,
    "NORM": lambda name, **_: lambda x: norm(x, name=name),
    "RELU": lambda name, **_: layers.ReLU(name=name),
    "TANH": lambda name, **_: layers.Activation("tanh", name=name),
    "SIGMOID": lambda name, **_: layers.Activation("sigmoid", name=name),
    "LRN": lambda name, **_: LocalResponseNorm(name=name),
    "DROPOUT": lambda name, dropout, **_: layers.Dropout(dropout, name=name),
    "POOL": lambda name, pool, **_: layers.MaxPooling2D(pool, name=name),
    "MEAN": lambda name, pool, **_: layers.AveragePooling2D(pool, name=name),
}
POOLS = ("POOL", "MEAN")


def parse(text, letters=None, optional=True):
    """The steps of a pattern in order, repeats written out.

    group := item ("-" item)*;  item := (STEP | "[" group "]") "?"? ("*" count)? "?"?
    """
    if not isinstance(text, str):
        raise ValueError(f"`text` should be a pattern such as '[CONV-RELU-POOL]*2-FC'. Received: {text!r}")
    tokens = [(m.group(), m.start()) for m in re.finditer(r"[A-Za-z_]+|\d+|\S", text)]
    steps, rest = group(text, tokens + [("", len(text))], 0, letters or {}, optional)
    if tokens[rest:]:
        raise wrong(text, tokens[rest][1], "'-' or the end")
    if steps[-1] != "FC":
        raise wrong(text, len(text), "the pattern to end with FC, the classifier")
    late = [i for i, step in enumerate(steps) if step in ("CONV", *POOLS) and "FC" in steps[:i]]
    if late:
        raise wrong(text, text.upper().rfind(steps[late[0]]), f"no {steps[late[0]]} after an FC")
    return steps


def group(text, tokens, at, letters, optional):
    """Items joined by dashes from token ``at`` on, and the token after them."""
    steps, at = item(text, tokens, at, letters, optional)
    while tokens[at][0] == "-":
        more, at = item(text, tokens, at + 1, letters, optional)
        steps = steps + more
    return steps, at


def item(text, tokens, at, letters, optional):
    word, place = tokens[at]
    if word == "[":
        steps, at = group(text, tokens, at + 1, letters, optional)
        if tokens[at][0] != "]":
            raise wrong(text, tokens[at][1], "']' or '-'")
    elif word.upper() in STEPS:
        steps = [word.upper()]
    else:
        raise wrong(text, place, f"'[' or a step ({', '.join(STEPS)})", word)
    at += 1
    while tokens[at][0] in ("?", "*"):
        if tokens[at][0] == "?":
            steps, at = steps if optional else [], at + 1
        else:
            steps, at = steps * count(text, *tokens[at + 1], letters), at + 2
    return steps, at


def count(text, word, place, letters):
    value = int(word) if word.isdigit() else letters.get(word)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        known = (
            f" or a letter with a whole value ({', '.join(letters)})" if letters else " or a letter given as a keyword"
        )
        raise wrong(text, place, f"a number{known} after '*'")
    return value


def wrong(text, place, expected, word=""):
    """The error that shows where the pattern went wrong."""
    near = nearest(word.upper(), STEPS, most=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    found = text[place : place + 12] or "the end"
    return ValueError(
        f"`text` should have {expected} at position {place}{hint}. Received: {found!r}\n{text}\n{' ' * place}^"
    )


def pattern_net(x, *, steps, filters, size, pool, dropout):
    """The steps before the first FC; a pool closes a stage."""
    steps = steps[: steps.index("FC")]
    stages, seen = [i for i, step in enumerate(steps) if step in POOLS], 1
    if steps and (not stages or stages[-1] < len(steps) - 1):
        stages.append(len(steps) - 1)
    for i, step in enumerate(steps):
        name = f"stage{seen}" if i in stages else f"{step.lower()}{i + 1}"
        if step == "CONV":
            x = conv(x, chosen(filters, seen, "filters"), size, bias=True, name=name)
        else:
            x = STEPS[step](name, pool=pool, dropout=dropout)(x)
        seen += i in stages
    return x


def pattern_head(x, classes, *, steps, units, dropout):
    """The steps from the first FC on; the last FC gives the logits."""
    steps = steps[steps.index("FC") : -1]
    x, seen = layers.Flatten(name="flatten" if steps else "features")(x), 0
    for i, step in enumerate(steps, start=1):
        seen += step == "FC"
        name = "features" if i == len(steps) else f"head{i}_{step.lower()}"
        if step == "FC":
            layer = layers.Dense(chosen(units, seen, "units"), kernel_initializer="he_normal", name=name)
        else:
            layer = STEPS[step](name, dropout=dropout)
        x = layer(x)
    return logits(x, classes)


def chosen(values, nth, name):
    """The value for the nth stage or layer: the one there is, or the nth of several."""
    if isinstance(values, int):
        return values
    if nth > len(values):
        raise ValueError(f"`{name}` should have a value for each of at least {nth} places. Received: {tuple(values)}")
    return values[nth - 1]
