"""Patterns of early networks, such as [[CONV-RELU]*N-POOL?]*M-[FC-RELU]*K-FC: parser and layers."""

import re

from keras import layers

from ..support.text import close_matches
from .layers import LocalResponseNorm, batch_norm, conv, logits

STEPS = {
    "CONV": None,
    "FC": None,
    "NORM": lambda name, **_: lambda x: batch_norm(x, name=name),
    "RELU": lambda name, **_: layers.ReLU(name=name),
    "TANH": lambda name, **_: layers.Activation("tanh", name=name),
    "SIGMOID": lambda name, **_: layers.Activation("sigmoid", name=name),
    "LRN": lambda name, **_: LocalResponseNorm(name=name),
    "DROPOUT": lambda name, dropout, **_: layers.Dropout(dropout, name=name),
    "POOL": lambda name, pool, **_: layers.MaxPooling2D(pool, name=name),
    "MEAN": lambda name, pool, **_: layers.AveragePooling2D(pool, name=name),
}
POOLS = ("POOL", "MEAN")


def parse_pattern(text, letters=None, optional=True):
    """The steps of a pattern in order, with repeats written out.

    group := item ("-" item)*;  item := (STEP | "[" group "]") "?"? ("*" count)? "?"?
    """
    if not isinstance(text, str):
        raise ValueError(f"`text` should be a pattern such as '[CONV-RELU-POOL]*2-FC'. Received: {text!r}")
    tokens = [(m.group(), m.start()) for m in re.finditer(r"[A-Za-z_]+|\d+|\S", text)]
    steps, end = parse_group(text, tokens + [("", len(text))], 0, letters or {}, optional)
    if tokens[end:]:
        raise pattern_error(text, tokens[end][1], "'-' or the end of the pattern")
    if steps[-1] != "FC":
        raise pattern_error(text, len(text), "the pattern to end with FC (the classifier)")
    late = [i for i, step in enumerate(steps) if step in ("CONV", *POOLS) and "FC" in steps[:i]]
    if late:
        raise pattern_error(text, text.upper().rfind(steps[late[0]]), f"no {steps[late[0]]} after an FC")
    return steps


def parse_group(text, tokens, at, letters, optional):
    """Steps of the items from token ``at`` on that dashes join, and the index of the token after them."""
    steps, at = parse_item(text, tokens, at, letters, optional)
    while tokens[at][0] == "-":
        item_steps, at = parse_item(text, tokens, at + 1, letters, optional)
        steps = steps + item_steps
    return steps, at


def parse_item(text, tokens, at, letters, optional):
    """Steps of one item, with its repeats, and the index of the token after it."""
    word, position = tokens[at]
    if word == "[":
        steps, at = parse_group(text, tokens, at + 1, letters, optional)
        if tokens[at][0] != "]":
            raise pattern_error(text, tokens[at][1], "']' or '-'")
    elif word.upper() in STEPS:
        steps = [word.upper()]
    else:
        raise pattern_error(text, position, f"'[' or a step ({', '.join(STEPS)})", word)

    at += 1
    while tokens[at][0] in ("?", "*"):
        if tokens[at][0] == "?":
            steps, at = steps if optional else [], at + 1
        else:
            steps, at = steps * parse_count(text, *tokens[at + 1], letters), at + 2
    return steps, at


def parse_count(text, word, position, letters):
    """The number behind ``*``: digits, or a letter with a value."""
    value = int(word) if word.isdigit() else letters.get(word)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        letter_text = (
            f"a letter with an integer value ({', '.join(letters)})"
            if letters
            else "a letter given as a keyword argument"
        )
        raise pattern_error(text, position, f"a number or {letter_text} after '*'")
    return value


def pattern_error(text, position, expected, word=""):
    """An error that points at the position in the pattern."""
    similar_steps = close_matches(word.upper(), STEPS, limit=1)
    hint = f" (did you mean {similar_steps[0]}?)" if similar_steps else ""
    received = text[position : position + 12] or "the end of the pattern"
    return ValueError(
        f"`text` should have {expected} at position {position}{hint}. Received: {received!r}\n{text}\n{' ' * position}^"
    )


def pattern_net(x, *, steps, filters, size, pool, dropout):
    """The steps before the first FC; a stage ends with a pool."""
    steps = steps[: steps.index("FC")]
    stages, stage_number = [i for i, step in enumerate(steps) if step in POOLS], 1
    if steps and (not stages or stages[-1] < len(steps) - 1):
        stages.append(len(steps) - 1)
    for i, step in enumerate(steps):
        name = f"stage{stage_number}" if i in stages else f"{step.lower()}{i + 1}"
        if step == "CONV":
            x = conv(x, nth_value(filters, stage_number, "filters"), size, bias=True, name=name)
        else:
            x = STEPS[step](name, pool=pool, dropout=dropout)(x)
        stage_number += i in stages
    return x


def pattern_head(x, classes, *, steps, units, dropout):
    """The steps from the first FC on; the last FC returns the logits."""
    steps = steps[steps.index("FC") : -1]
    x, fc_count = layers.Flatten(name="flatten" if steps else "features")(x), 0
    for i, step in enumerate(steps, start=1):
        fc_count += step == "FC"
        name = "features" if i == len(steps) else f"head{i}_{step.lower()}"
        if step == "FC":
            layer = layers.Dense(nth_value(units, fc_count, "units"), kernel_initializer="he_normal", name=name)
        else:
            layer = STEPS[step](name, dropout=dropout)
        x = layer(x)
    return logits(x, classes)


def nth_value(values, nth, name):
    """The value for the nth stage or layer: one number for all, or the nth of several."""
    if isinstance(values, int):
        return values
    if nth > len(values):
        raise ValueError(
            f"`{name}` should have at least {nth} values, one for each place where it occurs. Received: {tuple(values)}"
        )
    return values[nth - 1]
