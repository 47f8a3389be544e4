"""Fine-tuning trials and candidates: which to run, with smaller batches if memory runs out, and which one to choose."""

import math
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import product

import numpy as np
from scipy.special import softmax

from ..evaluation.calibration import temperature
from ..evaluation.statistics import wilson
from ..support.display import TextResult
from ..support.store import make_key
from ..support.text import pluralize
from .advice import LITTLE
from .taps import PLUS, stage_label

BATCH_SIZE = 32
MAX_ATTEMPTS = 3  # attempts at a trial; each halves the batch size of the one before
MEMORY_ERRORS = ("MemoryError", "ResourceExhaustedError", "XlaRuntimeError")
NOT_IN_RECORD = ("trial", "logits", "weights")  # not JSON
STORED = {"attempts": "tries", "batch_size": "batch", "cached": "kept"}  # field -> its key in the ledger
KILLED = "Killed"  # kind of failure of a process that the system ended, usually for lack of memory


@dataclass(frozen=True)
class Trial:
    """Settings of one fine-tuning run.

    The network ends at ``stage`` (several joined by "+") and is trained behind the stage ``freeze`` ("" freezes
    nothing). The images of ``fold`` are held out; -1 holds out none, and training stops after ``last_epoch``.
    """

    stage: str
    freeze: str
    learning_rate: float
    augment: str
    epochs: int
    fold: int = 0
    last_epoch: int | None = None

    def __str__(self):
        frozen = f"frozen up to {self.freeze}" if self.freeze else "nothing frozen"
        augment = "" if self.augment == "none" else f", augmentation {self.augment}"
        fold = {-1: ", on all training images", 0: ""}.get(self.fold, f", fold {self.fold + 1}")
        settings = f"{frozen}, learning rate {self.learning_rate:g}, {self.epochs} epochs{augment}{fold}"
        return f"{settings}, on {stage_label(self.stage)}"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TrialResult(TextResult):
    """Result of a trial.

    Attributes:
        trial: Settings of the trial.
        failed: Why it failed; "" if it did not.
        attempts: Number of attempts, each with half the batch size of the one before.
        batch_size: Number of images per step.
        seconds: Computing time.
        accuracy: Accuracy on the held-out images, or None.
        loss: Cross-entropy on the held-out images, or None.
        epoch: Number of the best epoch, or None.
        cached: Whether the outputs of the frozen layers were computed only once.
        history: A dict per epoch; epoch 0 is the initial classifier.
        logits: Scores (N, classes) of the held-out images, or None.
        weights: Weights of the whole network after the best epoch, or None.
    """

    trial: Trial
    failed: str = ""
    attempts: int = 1
    batch_size: int = BATCH_SIZE
    seconds: float = 0.0
    accuracy: float | None = None
    loss: float | None = None
    epoch: int | None = None
    cached: bool = False
    history: list = field(default_factory=list)
    logits: np.ndarray | None = None
    weights: list | None = None

    def __str__(self):
        result = f"failed, {self.failed}" if self.failed else f"accuracy {self.accuracy}, epoch {self.epoch}"
        return f"{self.trial}: {result}"

    @property
    def record(self):
        """All fields except the trial and the arrays."""
        return {name: value for name, value in vars(self).items() if name not in NOT_IN_RECORD}

    @property
    def row(self):
        """Settings and results as a row of a table."""
        low = high = None
        if self.accuracy is not None:
            number = len(self.logits)
            _, low, high = wilson(round(self.accuracy * number), number)
        found = asdict(self.trial) | self.record | {"low": low, "high": high}
        del found["history"]
        return found


class TrialError(RuntimeError):
    """A trial that failed; ``kind`` is the class of the error, or "Killed"."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


def run_trial(trial, perform, ledger, context):
    """The `TrialResult` from the ledger, or of ``perform(trial, batch_size, accumulation_steps)``, which may fail.

    If memory runs out, batches are halved and gradients accumulated, so that a step covers as many images.
    Failures for lack of disk space are not stored, because the next run may have room.
    """
    key = make_key("point", context, *asdict(trial).values())
    stored = ledger.get(key)
    if stored is None:
        result = attempt_trial(trial, perform)
        arrays = {f"weight{i}": array for i, array in enumerate(result.weights or ())}
        if result.logits is not None:
            arrays["logits"] = result.logits
        if not result.failed.startswith("OSError"):
            record = {STORED.get(name, name): value for name, value in result.record.items()}
            ledger.put(key, record, **arrays)
        return result

    record, arrays = stored
    fields = {key: name for name, key in STORED.items()}
    record = {fields.get(key, key): value for key, value in record.items()}
    weights = [array for name, array in arrays.items() if name != "logits"]
    return TrialResult(trial=trial, logits=arrays.get("logits"), weights=weights or None, **record)


def attempt_trial(trial, perform):
    """The `TrialResult` of a trial that is not in the ledger."""
    for attempt in range(MAX_ATTEMPTS):
        accumulation_steps = 2**attempt
        batch_size = max(BATCH_SIZE // accumulation_steps, 1)
        try:
            finetuned = perform(trial, batch_size, accumulation_steps)
        except Exception as error:  # whatever it is, the other trials continue
            kind = getattr(error, "kind", type(error).__name__)
            reason = f"{kind}: {str(error).splitlines()[0] if str(error) else 'unknown error'}"
            if kind not in (*MEMORY_ERRORS, KILLED):
                break
        else:
            return TrialResult(trial=trial, attempts=attempt + 1, batch_size=batch_size, **vars(finetuned))
    return TrialResult(trial=trial, failed=reason, attempts=attempt + 1, batch_size=batch_size)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Candidate(TextResult):
    """A classifier with its scores of held-out images.

    Attributes:
        backbone: Name of the backbone.
        stage: Stage whose features are classified, or several joined by "+".
        macs: Multiply-adds per image.
        logits: Scores (N, classes) of the held-out images.
        labels: True classes (N,) of the held-out images.
        held_out: Positions (N,) of the held-out images.
        head: Kind of a linear classifier; "" of a fine-tuned network.
        crops: Names of the crops that it was trained on.
        penalty: Regularization strength of a linear classifier.
        members: Linear classifiers of which a candidate is the mean.
        trial: Settings of a fine-tuned network; None of a linear classifier.
        epoch: Number of the best epoch of a fine-tuned network; the mean if there are several folds.
        seconds: Computing time.
    """

    backbone: str
    stage: str
    macs: int
    logits: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray
    head: str = ""
    crops: tuple = ("identity",)
    penalty: float | None = None
    members: tuple = ()
    trial: Trial | None = None
    epoch: int | None = None
    seconds: float = 0.0

    @property
    def correct(self):
        """Whether each held-out image is classified correctly."""
        return self.logits.argmax(axis=1) == self.labels

    @cached_property
    def log_likelihood(self):
        """Log-probability of the true class of each held-out image.

        Add-one smoothing: a handful of correct images must not yield probability 1.
        """
        scores = self.logits.astype(np.float64) / self.temperature
        count, classes = scores.shape
        true_probs = softmax(scores, axis=1)[np.arange(count), self.labels]
        return np.log((count * true_probs + 1 / classes) / (count + 1))

    def __str__(self):
        return f"{self.name}: accuracy {self.accuracy:.3f} on {pluralize(len(self.labels), 'held-out image')}"

    @property
    def accuracy(self):
        """Fraction of the held-out images that are classified correctly."""
        return float(self.correct.mean())

    @property
    def cost(self):
        """Sort key, cheapest first: linear candidates, then by multiply-adds."""
        return self.trial is not None, self.macs

    @cached_property
    def temperature(self):
        """Temperature that calibrates the held-out predictions."""
        with ignore_temperature_warning():
            return temperature(self.logits, self.labels).value

    @property
    def name(self):
        if self.trial:
            return f"{self.backbone}, fine-tuned, {self.trial}"
        if self.members:
            return f"{self.backbone}, {self.head} on {stage_label(self.stage)}"
        mirrored = ", including mirrored" if any(crop.startswith("flip") for crop in self.crops) else ""
        crops = f", {len(self.crops)} crops{mirrored}" if len(self.crops) > 1 else ""
        return f"{self.backbone}, {self.head} on {stage_label(self.stage)}{crops}"

    @property
    def ledger_name(self):
        """The name in keys of the ledger, whose wording does not change."""
        stage = stage_label(self.stage)
        if self.trial:
            trial = self.trial
            frozen = f"frozen up to {trial.freeze}" if trial.freeze else "nothing frozen"
            augment = "" if trial.augment == "none" else f", {trial.augment}"
            settings = f"{frozen}, rate {trial.learning_rate:g}{augment}, epochs {trial.epochs}"
            return f"{self.backbone}, {stage}, {settings}"
        if self.members:
            return "mean of " + "; ".join(member.ledger_name for member in self.members)
        mirrored = ", including mirrored" if any(crop.startswith("flip") for crop in self.crops) else ""
        crops = f", {len(self.crops)} crops{mirrored}" if len(self.crops) > 1 else ""
        return f"{self.backbone}, {self.head} on {stage}{crops}"

    @property
    def row(self):
        """The candidate as a row of a table."""
        _, low, high = wilson(int(self.correct.sum()), len(self.correct))
        trial = self.trial
        settings = {}
        if trial:
            settings = {
                "freeze": trial.freeze,
                "learning_rate": trial.learning_rate,
                "augment": trial.augment,
                "epochs": trial.epochs,
                "best_epoch": self.epoch,
            }
        return settings | {
            "name": self.name,
            "kind": "finetuned" if trial else "linear",
            "backbone": self.backbone,
            "stage": self.stage,
            "head": self.head or "finetuned",
            "penalty": self.penalty,
            "crops": len(self.crops),
            "accuracy": self.accuracy,
            "low": low,
            "high": high,
            "images": len(self.correct),
            "log_likelihood": float(self.log_likelihood.mean()),
            "macs": self.macs,
            "seconds": self.seconds,
        }


@contextmanager
def ignore_temperature_warning():
    """Ignore the warning that no finite temperature is optimal, which is expected if every image is classified
    correctly."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the best temperature is outside")
        yield


def mean_difference(first, second, measure="correct"):
    """(mean, standard error) of first minus second, over the images held out for both.

    ``measure`` is "correct" for accuracy or "log_likelihood".
    """
    _, in_first, in_second = np.intersect1d(first.held_out, second.held_out, return_indices=True)
    gaps = getattr(first, measure)[in_first].astype(np.float64) - getattr(second, measure)[in_second]
    if not len(gaps):
        raise ValueError("`second` should have validation images in common with `first`. Received: none")
    return float(gaps.mean()), float(gaps.std() / np.sqrt(len(gaps)))


def most_likely(candidates):
    """The candidate with the highest mean log-likelihood, compared pairwise on the images held out for both."""
    best = candidates[0]
    for other in candidates[1:]:
        difference, _ = mean_difference(other, best, "log_likelihood")
        best = other if difference > 0 else best
    return best


def choose_candidate(candidates):
    """The cheapest candidate within one standard error of the best; of equal cost the best, or the most accurate."""
    best = most_likely(candidates)
    near = [each for each in candidates if each is best or is_within_error(best, each)]
    lowest = min(each.cost for each in near)
    cheapest = [each for each in near if each.cost == lowest]
    return best if best in cheapest else max(cheapest, key=lambda each: each.accuracy)


def is_within_error(best, other):
    """Whether neither log-likelihood nor accuracy is below the best by more than the standard error."""
    gaps = mean_difference(best, other, "log_likelihood"), mean_difference(best, other)
    return all(gap <= error for gap, error in gaps)


LEARNING_RATES = (3e-5, 1e-4, 3e-4, 1e-3)
STEPS, EPOCHS = 150, (6, 20)  # steps of a trial in the last rung; fewest and most epochs
REDUCTION_FACTOR = 3  # a third of the trials continues with three times the epochs (Jamieson & Talwalkar 2016)
AUGMENTATIONS = ("none", "shift")
STRATEGIES = ("auto", "linear", "layers", "finetune", "grid")
FROZEN_SHARES = {"last": 0.75, "half": 0.4}  # fraction of the stages that is frozen
DEPTHS_OF_STRATEGY = {"layers": ("last", "half"), "finetune": ("all",)}
DEFAULT_LEARNING_RATE = 3e-4


def freeze_options(table, stage):
    """{name: stage up to which layers are frozen} for a network that ends at ``stage``: head, last, half, all."""
    deepest = max(map(table.stages.index, stage.split(PLUS)))
    before = table.stages[:deepest]
    found = {"head": table.stages[deepest]}
    for name, share in FROZEN_SHARES.items():
        if (number := round(share * len(before))) > 0:
            found[name] = before[number - 1]
    return found | {"all": ""}


def rung_epochs(images):
    """Epochs of the first trials and of those that continue, set by a number of steps.

    High learning rates start worse than low ones and end better, so the first rung must not be too short.
    """
    last = min(max(-(-STEPS // -(-images // BATCH_SIZE)), EPOCHS[0]), EPOCHS[1])
    return -(-last // REDUCTION_FACTOR), last


def plan_trials(strategy, advice, table, stage, augmentations=AUGMENTATIONS):
    """(trials of the first rung in order, whether successive halving applies) for networks up to a stage."""
    few, many = rung_epochs(len(table))
    depth = freeze_options(table, stage)
    first = augmentations[0]
    if strategy == "linear":
        return [], False
    if strategy == "grid":
        return [
            Trial(stage, freeze, rate, first, many) for freeze, rate in product(depth.values(), LEARNING_RATES)
        ], False
    auto = strategy == "auto"
    ways = []
    one_depth = auto and advice.amount == LITTLE and not advice.finetuning_may_gain
    for name in [name for name in advice.strategies if name in DEPTHS_OF_STRATEGY] if auto else [strategy]:
        tried = DEPTHS_OF_STRATEGY[name][:1] if one_depth else DEPTHS_OF_STRATEGY[name]
        ways += [(stage, depth.get(each, depth["all"]), DEFAULT_LEARNING_RATE) for each in tried]
    if auto:
        ways.append(challenger(table))
    return [Trial(*way, first, few) for way in dict.fromkeys(ways)], True


def neighboring_trials(trial):
    """The trial with the next lower and the next higher learning rate."""
    place = LEARNING_RATES.index(trial.learning_rate)
    neighbors = [at for at in (place - 1, place + 1) if 0 <= at < len(LEARNING_RATES)]
    return [replace(trial, learning_rate=LEARNING_RATES[at]) for at in neighbors]


def challenger(table):
    """A common default tried regardless of the advice: the whole network, half of it frozen, a high learning rate."""
    last = table.stages[-1]
    depth = freeze_options(table, last)
    return last, depth.get("half", depth["all"]), LEARNING_RATES[-1]


RESERVE = 0.15  # fraction of the budget kept for training the chosen network on all images


class TimeBudget:
    """Seconds of work against a budget; a resumed study counts the work of earlier runs too."""

    def __init__(self, budget, spent=0.0):
        self.budget, self.spent = budget, spent

    @property
    def left(self):
        """Seconds left for trials; infinity without a budget."""
        return math.inf if self.budget is None else max((1 - RESERVE) * self.budget - self.spent, 0.0)

    def allows(self, seconds):
        return self.budget is None or self.spent + seconds <= (1 - RESERVE) * self.budget

    def shortage(self, seconds):
        """Why work of this many seconds is not begun."""
        return f"{seconds:,.0f} s estimated, {self.left:,.0f} s left"


@dataclass(frozen=True, eq=False, kw_only=True)
class SearchResult:
    """Results of trials in the order in which they ran, why other trials were ``skipped``, and why the search ended."""

    results: tuple = ()
    skipped: dict = field(default_factory=dict)  # {trial: reason}
    ended: str


def successive_halving(
    trials, run, clock, estimate_seconds, rungs=(None,), augmentations=("none",), neighbors=None, is_promising=None
):
    """The `SearchResult` of trials, rung by rung (Jamieson & Talwalkar 2016); those beyond the budget are skipped.

    ``rungs`` are epochs; a single None keeps those of the trials and drops none. ``run(trial)`` gives a result,
    ``estimate_seconds(trial, results)`` its expected time. Trials are ranked by held-out loss, which has fewer ties
    than accuracy. If ``is_promising(result)`` holds for the best of the first rung, its ``neighbors(trial)`` are also
    tried, without learning rates above the optimum (`is_rate_too_high`), and the next rung follows. In the last rung
    the best trial also tries the other augmentations, and later trials use its best one.
    """
    results, skipped, halving, short = [], {}, len(rungs) > 1, False
    ended = "all planned trials finished"
    for epochs in rungs:
        tried_augmentations = augmentations if halving and epochs == rungs[-1] else ()
        rung, queue = [], [*trials]
        while queue:
            trial = queue.pop(0)
            for name in augmentations_to_try(trial, rung, tried_augmentations):
                trial = replace(trial, epochs=epochs or trial.epochs, augment=name)
                seconds = estimate_seconds(trial, results)
                if halving and is_rate_too_high(trial, rung):
                    skipped[trial] = "at lower learning rates the loss already rises with the rate"
                elif not clock.allows(seconds):
                    skipped[trial] = clock.shortage(seconds)
                    short = True
                else:
                    rung.append(run(trial))
                    clock.spent += rung[-1].seconds
            if not queue and neighbors:
                good = rank_by_loss(rung)
                if good and (is_promising is None or is_promising(good[0])):
                    queue, neighbors = neighbors(good[0].trial), None

        results += rung
        good = rank_by_loss(rung)
        trials = [each.trial for each in good[: math.ceil(len(rung) / REDUCTION_FACTOR)]]
        if not good or epochs == rungs[-1]:
            break
        if is_promising and not is_promising(good[0]):
            ended = f"after {good[0].trial.epochs} epochs no trial beat the best linear classifier in log-likelihood"
            break
    if short and ended == "all planned trials finished":
        ended = "the time left is too short for the remaining trials"
    elif results and not rank_by_loss(results):
        ended = "all trials failed"
    return SearchResult(results=tuple(results), skipped=skipped, ended=ended)


def rank_by_loss(results):
    """Results of trials that did not fail, best first."""
    return sorted((each for each in results if not each.failed), key=lambda each: each.loss)


def augmentations_to_try(trial, results, augmentations):
    """The trial's own augmentation, or all of them, or the best one of an earlier trial."""
    if not augmentations:
        return (trial.augment,)
    good = rank_by_loss(results)
    return (good[0].trial.augment,) if good else augmentations


def is_rate_too_high(trial, results):
    """Whether the two highest lower rates, all else equal, already got worse: the loss has a single minimum over
    rates."""
    lower = []
    for result in rank_by_loss(results):
        same_otherwise = replace(result.trial, learning_rate=trial.learning_rate) == trial
        if same_otherwise and result.trial.learning_rate < trial.learning_rate:
            lower.append(result)
    losses = [each.loss for each in sorted(lower, key=lambda each: each.trial.learning_rate)]
    return len(losses) > 1 and losses[-1] > losses[-2]
