"""What comes of climbing: pictures, how high they got, and on which way."""

import os
from dataclasses import dataclass, field

import numpy as np

from ..drawn import Drawn
from ..files import save_image
from .drawing import short


@dataclass(frozen=True, eq=False)
class Synthesis(Drawn):
    """Images (N, H, W, C), pixels 0..255, and the ``scores`` (N,) of each as it is, neither shaken nor judged.

    ``said`` has what was said at each step, (steps, N): the score of the shaken image. ``kept`` (times, N, H, W, C) are
    the images after the steps that ``marks`` names. ``facts``: arrays with a row an image that a method adds.
    """

    images: np.ndarray = field(repr=False)
    scores: np.ndarray
    score: str
    names: tuple
    recipe: object = field(repr=False)
    said: dict = field(repr=False)
    kept: np.ndarray | None = field(default=None, repr=False)
    marks: tuple = ()
    facts: dict = field(default_factory=dict, repr=False)

    def __len__(self):
        return len(self.images)

    def __str__(self):
        many = "pictures that climb" if len(self) > 1 else "picture that climbs"
        return f"{len(self)} {many} {self.score}"

    @property
    def history(self):
        """A DataFrame with a row for each step of each image: image, step, score."""
        import pandas as pd

        steps, count = self.said["score"].shape
        names, numbers = np.repeat(np.array(self.names, object), steps), np.tile(np.arange(steps), count)
        return pd.DataFrame({"image": names, "step": numbers, "score": self.said["score"].T.ravel()})

    @property
    def table(self):
        """A DataFrame with a row for each image: image, score, what it began with, and the facts."""
        import pandas as pd

        facts = {name: values for name, values in self.facts.items() if getattr(values, "ndim", 0) == 1}
        began = {"image": self.names, "score": self.scores, "at first": self.said["score"][0]}
        return pd.DataFrame(began | facts)

    def title(self, i):
        """What an image is, and how high it got."""
        certain = self.facts.get("probability")
        return f"{self.names[i]}  {short(self.scores[i]) if certain is None else f'{certain[i]:.2%}'}"

    def plot(self, columns=None):
        """All images as one sheet, each with its name and score."""
        from .synthesis_pictures import draw_sheet

        return draw_sheet(self, columns)

    def steps(self):
        """A row an image: what it was after the steps that were kept, and the scores of all steps."""
        from .synthesis_pictures import draw_steps

        if self.kept is None:
            raise ValueError(
                "`keep` should have been given to what made these pictures: steps after which to keep them"
            )
        return draw_steps(self)

    def save_images(self, folder):
        """Each picture alone as a PNG file, named after what it climbs; the paths."""
        os.makedirs(folder, exist_ok=True)
        return [save_image(image, os.path.join(folder, f"{i:04d}.png")) for i, image in enumerate(self.images)]
