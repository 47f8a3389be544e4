"""Every way to fool a network by its gradients, by name."""

from __future__ import annotations

from typing import Any

from ...support.text import unknown_name
from ...support.types import Classes, Images, Model
from ..engine.lens import Lens
from ..registry import ATTACK_ROWS
from .attack import Fooled

ATTACKS = {name: row.function for name, row in ATTACK_ROWS.items()}


def fool(
    model: Model | Lens, images: Images, target: Classes | None = None, *, method: str = "minimal", **options: Any
) -> Fooled:
    """Change images as little as possible until a network predicts another class.

    Args:
        model: Keras model, or a `Lens` of one.
        images: images to attack: paths, arrays or a batch.
        target: class to reach, by number or name, one or one per image; by default any other class than now.
        method: name of the attack: "fgsm", "bim", "pgd", "minimal" or "lbfgs".
        **options: options of the attack. All take `bounds`, `lead` (attacks go beyond it by 1e-5 of the largest logit,
            more than rounding undoes), `integer_pixels`, `class_names`, `batch_size` and `on_progress`; most take
            `epsilon` or `norm`, `steps` and `seed`.

    Returns:
        A `Fooled`.
    """
    if method not in ATTACKS:
        raise ValueError(unknown_name("method", method, ATTACKS))
    known = [name for name in ATTACK_ROWS[method].parameters if name not in ("model", "images", "target")]
    for name in options:
        if name not in known:
            raise ValueError(unknown_name(f"option of {method}", name, known))
    return ATTACKS[method](model, images, target, **options)
