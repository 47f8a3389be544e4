"""From labeled images to the best classifier within a budget, with the evidence: `transfer`."""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import keras
import numpy as np

from ..data.dataset import Data
from ..data.training_images import store_training_images
from ..evaluation.compare import Comparison, compare
from ..evaluation.evaluate import Evaluation, evaluate, from_probabilities
from ..inputs.class_names import save_model, store_class_names
from ..support.display import FigureResult
from ..support.files import write_atomically
from ..support.store import Store, make_key
from ..support.text import check_names, format_percent, pluralize
from ..support.types import Dataset, DataSource, FilePath, Model, Size
from .advice import Advice, advice_lines, advise, describe_dataset
from .networks import average_candidates, fit_candidate_head, fit_head, probe_backbone
from .probes import ProbeTable, probe_more_crops
from .runner import TrialRunner, rank_finetuned, search_trials, workers
from .sources import (
    describe_data,
    make_ledger_folder,
    open_backbones,
    parse_budget,
    prepare_data,
    study_split_rule,
    warn_of_known_images,
)
from .trials import (
    AUGMENTATIONS,
    STRATEGIES,
    Candidate,
    TimeBudget,
    choose_candidate,
    ignore_temperature_warning,
    mean_difference,
)

STUDY_HEADS = ("ridge", "softmax")
BACKBONES = ("resnet20_cifar10",)


def transfer(
    data: DataSource | Dataset,
    backbones: Model | str | Sequence[Model | str] = BACKBONES,
    *,
    out: FilePath | None = None,
    budget: float | str | None = None,
    strategy: Literal["auto", "linear", "layers", "finetune", "grid"] = "auto",
    resume: bool = True,
    seed: int = 0,
    test: float = 0.2,
    groups: str | None = None,
    size: Size | None = None,
    heads: str | Sequence[str] = STUDY_HEADS,
    augmentations: Sequence[str] = AUGMENTATIONS,
    ensemble: bool = True,
    cache: bool | FilePath = True,
    on_progress: Callable[[float, float | None, str], object] | None = None,
) -> Study:
    """Find the best classifier for your images on top of pretrained networks.

    Linear probes on every stage of each backbone come first; ``strategy`` says what is tried beyond them. Candidates
    are ranked by the mean log-probability of the true class on held-out images, and the cheapest one within one
    standard error of the best is chosen. The test set is used once: for the chosen network and for the baseline, a
    linear classifier on the last features.

    Args:
        data: Anything that `kerascnn.data.load` takes or returns.
        backbones: Name of a network with published weights, file or Keras model; or several of these.
        out: Folder for finished steps and the results; None keeps nothing.
        budget: Limit of the computing time: seconds, or a string such as "90s", "10m" or "1h". None is no limit.
        strategy: "linear": linear probes only; "layers" or "finetune": also fine-tune the last or all layers; "auto":
            as the advice orders; "grid": every frozen depth with every learning rate.
        resume: Whether to continue the study in ``out``; if False, ``out`` must be new.
        seed: Seed of the split, the folds, the order of the images and the augmentation.
        test: Fraction of the images for the test set, if the data come without one.
        groups: Regular expression; images whose names match alike stay together in the split.
        size: Height and width for backbones of the zoo; None is the size at which their weights were measured.
        heads: Linear heads to train, names in `HEADS`.
        augmentations: Augmentations to try in fine-tuning; the first one comes first.
        ensemble: Whether the mean of the best linear classifiers, which is a linear classifier too, is a candidate.
        cache: Where features are cached: True is the default folder, False none, or a folder.
        on_progress: Function called with (seconds spent, budget, what); raising stops the study.

    Returns:
        A `Study`.

    >>> transfer("photos", backbones="squeezenet1_1", budget="10m").export("classifier")
    """
    check_names("strategy", [strategy], STRATEGIES)
    began = time.perf_counter()
    clock, folder = TimeBudget(parse_budget(budget)), make_ledger_folder(out, resume, "ledger")
    ledger = Store(folder)

    log = []

    def note(what):
        log.append((clock.spent, what))
        if on_progress is not None:
            on_progress(clock.spent, clock.budget, what)

    dataset = prepare_data(data, test, groups, seed, study_split_rule(folder))
    models = open_backbones(backbones, dataset.size, size)
    describe_data(dataset, note)
    warn_of_known_images(models, dataset)
    settings = {"seed": seed, "size": size, "cache": cache}
    with workers(preload=strategy != "linear") as execute, tempfile.TemporaryDirectory(prefix="kerascnn-") as folder:
        probed = []
        for model in models:
            write_first = first_model_writer(model, out)
            probed.append(
                probe_backbone(
                    model, dataset.train, ledger, clock, note, heads=heads, on_first_probe=write_first, **settings
                )
            )

        best = max(probed, key=lambda backbone: backbone.table.best["accuracy"])
        runner = TrialRunner(
            probed=best,
            multi_crop=probe_more_crops(best, dataset.train, ledger, clock, note, **settings),
            images=dataset.train,
            folder=Path(folder),
            execute=execute,
            ledger=ledger,
            seed=seed,
            note=note,
        )
        advice = advise(best.table)
        note(f"{describe_dataset(advice)} Strategies, the most promising first: {', '.join(advice.strategies)}")
        if advice.remark:
            note(advice.remark)
        linear = [candidate for backbone in (*probed, *runner.multi_crop) for candidate in backbone.candidates]
        start = choose_candidate(linear)
        mean = average_candidates((best, *runner.multi_crop)) if ensemble else None
        if mean is not None:
            linear.append(mean)
            note(f"{mean.name}: held-out accuracy {format_percent(mean.accuracy)}")
        rival = start if mean is None else choose_candidate([start, mean])
        search = search_trials(runner, start, advice, strategy, augmentations, clock)
        for trial, reason in search.skipped.items():
            note(f"skipped: {trial}: {reason}")
        note(f"fine-tuning ended: {search.ended}" if search.results else f"no fine-tuning: {search.ended}")
        finetuned = rank_finetuned(runner, rival, search.results, clock)
        winner = choose_candidate([rival, *finetuned[:1]])
        note(f"chosen network: {describe_candidate(winner)}")
        model = build_candidate(winner, runner, probed, clock)
        store_class_names(model, dataset.class_names)
        backbone = next((each.model for each in probed if each.model.name == winner.backbone), best.model)
        store_training_images(model, dataset.train, backbone)

    last_stage = best.table.stages[-1]
    baseline = next(candidate for candidate in best.candidates if candidate.stage == last_stage)
    networks = [(winner, model), (baseline, build_candidate(baseline, runner, probed))]
    evaluations = evaluate_test_once(ledger, dataset, networks, best.key(seed))
    metadata = {
        "strategy": strategy,
        "budget": clock.budget,
        "spent": clock.spent,
        "seconds": time.perf_counter() - began,
        "seed": seed,
        "grid_search_seconds": estimate_grid_seconds(best, search.results),
        "ended": search.ended,
    }
    return Study(
        data=dataset,
        probes=tuple(backbone.table for backbone in probed),
        best_probes=best.table,
        advice=advice,
        candidates=(*linear, *finetuned),
        trial_results=search.results,
        skipped=search.skipped,
        log=tuple(log),
        chosen=winner,
        baseline=baseline,
        model=model,
        metadata=metadata,
        **evaluations,
    )


def first_model_writer(model, out):
    """A function that saves a backbone's first classifier in ``out`` unless a model is there; None without ``out``."""

    def write(taps, table):
        path = Path(out) / MODEL
        if not path.exists():
            try:
                with write_atomically(path) as draft, ignore_temperature_warning():
                    save_model(fit_head(taps, table).model(model), draft)
            except OSError as error:
                warnings.warn(f"cannot save the first classifier: {error}", stacklevel=2)

    return None if out is None else write


def build_candidate(candidate, runner, backbones, clock=None):
    """The network of a candidate, trained on all training images."""
    if candidate.trial:
        model, seconds = runner.train_final(candidate)
        clock.spent += seconds
        return model
    backbones = (*backbones, *runner.multi_crop)
    probed = next(backbone for backbone in backbones if backbone.model.name == candidate.backbone)
    with ignore_temperature_warning():
        return fit_candidate_head(candidate, backbones).model(probed.model)


def evaluate_on_test(model, data):
    """The `Evaluation` on the test set, preprocessed as in training and in `predict`."""
    test = data.test
    return evaluate(model, test.items, test.labels, names=test.names, class_names=data.class_names, verbose=0)


def evaluate_test_once(ledger, data, networks, context):
    """Evaluations of the chosen network and the baseline on the test set, computed once and then stored."""
    test = data.test
    if test is None or not len(test):
        return {"evaluation": None, "baseline_evaluation": None, "comparison": None}
    key = make_key("test", context, *(candidate.ledger_name for candidate, _ in networks))
    names = ("chosen", "usual")  # keys of the ledger

    def evaluate_both():
        if any(name.startswith("test-") for name in ledger.list_keys()):
            warnings.warn(
                "an earlier choice was already evaluated on this test set, so the test accuracy may be optimistic",
                stacklevel=5,
            )
        evaluations = [evaluate_on_test(model, data) for _, model in networks]
        probs = [evaluation.probs for evaluation in evaluations]
        return {"names": evaluations[0].names}, dict(zip(names, probs, strict=True))

    metadata, probs = ledger.get_or_compute(key, evaluate_both)
    label_of = dict(zip(test.names, test.labels, strict=True))
    labels = np.array([label_of[name] for name in metadata["names"]])
    chosen, baseline = (
        from_probabilities(probs[name], labels, data.class_names, metadata["names"], model=candidate.name)
        for name, (candidate, _) in zip(names, networks, strict=True)
    )
    return {
        "evaluation": chosen,
        "baseline_evaluation": baseline,
        "comparison": compare(chosen, baseline, model_names=("chosen network", "baseline")),
    }


MODEL, LABELS, TABLE, TRIALS = "model.keras", "labels.json", "table.csv", "points.csv"
PAGE, CARD = "report.html", "study.json"
COLUMNS = [
    "name", "kind", "backbone", "stage", "head", "penalty", "crops", "freeze", "learning_rate", "augment", "epochs",
    "best_epoch", "accuracy", "low", "high", "images", "lead", "lead_error", "log_likelihood", "log_likelihood_lead",
    "log_likelihood_error", "macs", "seconds", "chosen",
]  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Study(FigureResult):
    """The result of a study: its best model, and the evidence for it.

    Attributes:
        data: `Data` with the training images and the test set.
        probes: A `ProbeTable` for each backbone.
        best_probes: The `ProbeTable` of the best backbone.
        advice: `Advice` on the data.
        candidates: All candidates that were compared.
        trial_results: Results of the fine-tuning trials, in the order in which they ran.
        skipped: {trial: why it was skipped}.
        log: (seconds spent, what) of everything that was done.
        chosen: The candidate that was chosen.
        baseline: The candidate to compare with: a linear classifier on the last features of the best backbone.
        model: The chosen network as a Keras model from pixels 0..255 to calibrated probabilities.
        metadata: Settings, seed and computing time.
        evaluation: `Evaluation` of the chosen network on the test set; None if there is no test set.
        baseline_evaluation: `Evaluation` of the baseline on the test set, or None.
        comparison: `Comparison` of the two, or None.
    """

    data: Data
    probes: tuple
    best_probes: ProbeTable
    advice: Advice
    candidates: tuple
    trial_results: tuple
    chosen: Candidate
    baseline: Candidate
    model: keras.Model
    metadata: dict
    evaluation: Evaluation | None = None
    baseline_evaluation: Evaluation | None = None
    comparison: Comparison | None = None
    skipped: dict = field(default_factory=dict, repr=False)
    log: tuple = field(default=(), repr=False)

    @property
    def table(self):
        """DataFrame with a row per candidate, best first.

        Rows are sorted by ``log_likelihood_lead``, the difference from the chosen candidate in mean log-probability of
        the true class on the images held out for both; ``log_likelihood_error`` is its standard error. ``lead`` and
        ``lead_error`` are the same for the accuracy. ``log_likelihood`` is on all ``images`` held out for a candidate,
        and cannot be compared between candidates with different ones. ``best_epoch`` is one of the ``epochs``.
        """
        import pandas as pd

        rows = []
        for candidate in self.candidates:
            row = candidate.row | {"chosen": candidate is self.chosen}
            row["lead"], row["lead_error"] = mean_difference(candidate, self.chosen)
            likelihood = mean_difference(candidate, self.chosen, "log_likelihood")
            row["log_likelihood_lead"], row["log_likelihood_error"] = likelihood
            rows.append(row)
        table = pd.DataFrame(rows, columns=COLUMNS)
        return table.sort_values("log_likelihood_lead", ascending=False, kind="stable", ignore_index=True)

    @property
    def trials(self):
        """DataFrame with a row per fine-tuning trial, failed ones included."""
        import pandas as pd

        return pd.DataFrame([result.row for result in self.trial_results])

    def export(self, path, **options):
        """Export the best model for deployment.

        Args:
            path: Folder to write.
            **options: Keyword arguments of `kerascnn.export`, such as `formats`; `class_names` are those of the data.

        Returns:
            What `kerascnn.export` returns.
        """
        from ..exporting.export import export

        options = {"metadata": {"study": self.card}} | options
        return export(self.model, path, class_names=self.data.class_names, **options)

    @property
    def card(self):
        """The results of the study as JSON-compatible data."""
        from .page import describe_outcomes

        card = {
            "data": self.data.name,
            "classes": len(self.data.class_names),
            "training_images": len(self.data.train),
            "chosen": self.chosen.row,
            "advice": [self.advice.similarity, self.advice.amount],
            "strategies": describe_outcomes(self),
        }
        for key, names in (
            ("small_classes", self.data.small_classes),
            ("untested_classes", self.data.untested_classes),
        ):
            if names:
                card[key] = [str(name) for name in names]
        if self.evaluation is not None:
            gap = self.comparison.difference
            card["test"] = summarize_evaluation(self.evaluation)
            card["baseline_test"] = summarize_evaluation(self.baseline_evaluation)
            card["difference"] = {"value": gap.value, "low": gap.low, "high": gap.high, "p": self.comparison.p}
        return json.loads(json.dumps(card | self.metadata, default=lambda value: value.item()))

    def plot(self):
        """Draw the candidates by log-likelihood and accuracy, and the grid of trials."""
        from .figures import draw_study

        return draw_study(self)

    def save_page(self, path):
        """Write the study as one self-contained HTML page.

        Args:
            path: HTML file to write.

        Returns:
            The path.
        """
        from .page import write_page

        return write_page(self, path)

    def save(self, out):
        """Write the model, the tables, the card and the page into a folder.

        `kerascnn.report(study.model, transfer=out)` includes the study in a report on the network.

        Args:
            out: Folder; created if missing.

        Returns:
            {name of the file: its path}.
        """
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        writers = {
            MODEL: partial(save_model, self.model),
            LABELS: lambda path: path.write_text(json.dumps(self.data.class_names)),
            TABLE: lambda path: self.table.to_csv(path, index=False),
            CARD: lambda path: path.write_text(json.dumps(self.card, indent=1)),
        }
        if self.trial_results:
            writers[TRIALS] = lambda path: self.trials.to_csv(path, index=False)
        else:
            (out / TRIALS).unlink(missing_ok=True)  # of a study with another strategy in the same folder
        for name, write in writers.items():
            with write_atomically(out / name) as draft:
                write(draft)
        self.save_page(out / PAGE)
        return {name: out / name for name in (*writers, PAGE)}

    def _headline(self):
        tested = "not tested" if self.evaluation is None else f"test accuracy {self.evaluation.accuracy:.3f}"
        counts = f"{pluralize(len(self.candidates), 'candidate')}, {pluralize(len(self.trial_results), 'trial')}"
        return f"{self.data.name}, {counts}, {tested}, chosen {self.chosen.name}"

    def __str__(self):
        from .page import describe_outcomes, describe_result

        facts = {"dataset": f"{self.data.name}, {describe_split(self.data)}"} | describe_result(self)
        lines = [*(f"{name}: {value}" for name, value in facts.items()), ""]
        return "\n".join([*lines, *advice_lines(self.advice, describe_outcomes(self))])


def describe_split(data):
    """The number of classes and images in words."""
    training, tested = len(data.train), len(data.test or ())
    return f"{len(data.class_names)} classes, {training:,} training images, {tested:,} test images"


def describe_candidate(candidate):
    """A candidate and its held-out accuracy in words."""
    accuracy = format_percent(candidate.accuracy)
    return f"{candidate.name} (accuracy {accuracy} on {len(candidate.correct):,} held-out images)"


def summarize_evaluation(evaluation):
    """Measures of an evaluation for the card."""
    value, low, high = evaluation.intervals["accuracy"]
    return {
        "images": len(evaluation),
        "right": int(evaluation.correct.sum()),
        "accuracy": value,
        "low": low,
        "high": high,
        "balanced": evaluation.balanced_accuracy,
        "macro_f1": evaluation.macro_f1,
        "nll": evaluation.nll,
        "ece": evaluation.calibration.ece,
    }


def estimate_grid_seconds(probed, results):
    """Estimated seconds of a full grid of 48 trials (4 depths, 4 rates, 3 augmentations), ten epochs each.

    Based on the fastest measured epoch, else on three forward passes; frozen layers skip the backward pass.
    """
    unfrozen = [result for result in results if not result.trial.freeze]
    epoch_seconds = [row["seconds"] for result in unfrozen for row in result.history if row["seconds"]]
    forward = min(epoch_seconds, default=3 * probed.seconds["features"]) / 3
    passes = [1 + 2 * share for share in (0, 1 / 3, 2 / 3, 1)]  # a backward pass costs two forward passes
    epochs, rates, augmentations = 10, 4, 3
    return epochs * rates * augmentations * sum(passes) * forward
