"""Every way to fool a network by its gradients, by name."""

from inspect import signature

from ...support.text import unknown
from .attack import victim
from .lbfgs import lbfgs
from .minimal import minimal
from .pgd import bim, bounded, fgsm, pgd

ATTACKS = {attack.__name__: attack for attack in (fgsm, bim, pgd, minimal, lbfgs)}


def taken(attack):
    """The options of an attack, those of all included."""
    called = (attack, victim, bounded) if attack in (fgsm, bim, pgd) else (attack, victim)
    parameters = {name: each for call in called for name, each in signature(call).parameters.items()}
    given = ("name", "model", "images", "target")
    return tuple(name for name, each in parameters.items() if name not in given and each.kind is not each.VAR_KEYWORD)


def fool(model, images, target=None, *, method="minimal", **options):
    """`Fooled`: images changed as little as can be seen until a network takes them for something else.

    Away from the class that is predicted now, or to the ``target``: a class, or one for each image, numbers or names.
    ``method`` is one of `ATTACKS`, to which the ``options`` go. Those of all: ``bounds``, the range of the pixels that
    you give (before the probe's ``preprocess``), which sizes and distances count as 0..255; ``lead``, by how many
    logits the wrong class should win (attacks go on by 1e-5 of the largest logit, more than rounding undoes);
    ``whole``, for a change that survives 8 bits; ``labels``, ``batch``, ``on_progress``.
    """
    if method not in ATTACKS:
        raise ValueError(unknown("method", method, ATTACKS))
    for name in set(options) - set(taken(ATTACKS[method])):
        raise ValueError(unknown(f"option of {method}", name, taken(ATTACKS[method])))
    return ATTACKS[method](model, images, target, **options)
