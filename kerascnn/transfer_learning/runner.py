"""The search for the best fine-tuned network: which trials run, what they start from, a worker process for each."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from subprocess import DEVNULL, Popen

import keras
import numpy as np

from ..inputs.class_names import save_model
from ..inputs.classifier import classifier, open_model
from ..support.store import Store, digest
from ..support.text import format_percent
from .finetune import finetune
from .networks import ProbedBackbone, fit_head
from .trials import (
    KILLED,
    Candidate,
    SearchResult,
    Trial,
    TrialError,
    ignore_temperature_warning,
    mean_difference,
    most_likely,
    neighboring_trials,
    plan_trials,
    rank_by_loss,
    run_trial,
    rung_epochs,
    successive_halving,
)

STARTUP_SECONDS = 5.0  # of a trial, before its first step
MAX_FOLDS = 3  # on which the best fine-tuned network is evaluated
CONVINCING_GAIN = 2.0  # in standard errors; a larger gain over the best linear classifier needs no further fold


@dataclass(frozen=True, eq=False)
class TrialRunner:
    """Runs trials on one backbone.

    ``multi_crop`` are variants of ``probed`` with more crops, ``execute`` is the function from `workers`, ``folder``
    holds temporary files, ``ledger`` the stored results.
    """

    probed: ProbedBackbone
    multi_crop: tuple  # ProbedBackbone, each
    images: object
    folder: Path
    execute: Callable
    ledger: Store
    seed: int
    note: Callable

    def run(self, trial, return_weights=False):
        """The stored or new `TrialResult` of a trial."""
        context = self.backbone_for(trial.stage).key(self.seed)
        result = run_trial(trial, partial(self.perform, return_weights=return_weights), self.ledger, context)
        accuracy = "" if result.accuracy is None else f"held-out accuracy {format_percent(result.accuracy)}, "
        self.note(f"{trial}: {result.failed or f'{accuracy}{result.seconds:.0f} s'}")
        return result

    def perform(self, trial, batch_size, accumulation_steps, return_weights=False):
        """The `FinetuneResult` of a trial, computed in a worker process."""
        if not (self.folder / "answers.npz").exists():
            write_trial_inputs(self.folder, self.images, self.probed)
        file = self.initial_model(trial)
        return self.execute(
            perform_trial, self.folder, file, asdict(trial), batch_size, accumulation_steps, self.seed, return_weights
        )

    def backbone_for(self, stage):
        """The `ProbedBackbone` with the crops of the best linear classifier of a stage."""
        probed_of = {}
        for probed in (self.probed, *self.multi_crop):
            for candidate in probed.candidates:
                if candidate.stage == stage:
                    probed_of[candidate] = probed
        return probed_of[most_likely([*probed_of])]

    def initial_model(self, trial):
        """File of the network that a trial starts from; its head is fitted without the images that the trial is
        evaluated on."""
        path = self.folder / f"{digest(trial.stage, trial.fold)}.keras"
        if not path.exists():
            probed = self.backbone_for(trial.stage)
            table = probed.table
            training = probed.taps.take(table.folds != trial.fold)
            with ignore_temperature_warning():
                head = fit_head(training, table, trial.stage, table.best_linear(trial.stage)["head"])
            save_model(head.model(self.probed.model), path)
        return path

    def estimate_seconds(self, trial, results):
        """Estimated seconds of a trial: from earlier trials, else three forward passes per epoch."""
        similar = [each for each in results if each.trial.freeze == trial.freeze and len(each.history) > 1]
        if similar:
            epoch = max(row["seconds"] for row in similar[-1].history)
        else:
            epoch = 3 * self.probed.seconds["features"]
        return STARTUP_SECONDS + epoch * trial.epochs

    def train_final(self, winner):
        """(the chosen network trained on all images, its training time in seconds)."""
        trial = replace(winner.trial, fold=-1, last_epoch=max(winner.epoch, 1))
        result = self.run(trial, return_weights=True)
        if result.failed:
            raise RuntimeError(f"the chosen network could not be trained on all images: {result.failed}")
        model = open_model(self.initial_model(trial))
        model.set_weights(result.weights)
        dense = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Dense))
        dense.set_weights([np.asarray(weight) / winner.temperature for weight in dense.get_weights()])
        return model, result.seconds


def search_trials(runner, start, advice, strategy, augmentations, clock):
    """The `SearchResult` of a strategy's trials on the best backbone; ``start`` is the best linear candidate."""
    if strategy == "linear":
        return SearchResult(ended="the strategy was linear classifiers only")
    table = runner.probed.table
    best = most_likely(runner.probed.candidates)
    trials, halving = plan_trials(strategy, advice, table, best.stage, augmentations)
    options = {}
    if halving:
        options = {"rungs": rung_epochs(len(table)), "neighbors": neighboring_trials, "augmentations": augmentations}
    check = partial(is_promising, runner.probed, start) if strategy == "auto" else None
    return successive_halving(trials, runner.run, clock, runner.estimate_seconds, is_promising=check, **options)


def rank_finetuned(runner, start, results, clock):
    """Candidates of the longest trials, best first.

    While the best one leads the best linear classifier, but not convincingly, it is evaluated on further folds.
    """
    finished = [result for result in rank_by_loss(results) if result.epoch]
    longest = max((result.trial.epochs for result in finished), default=0)
    finished = [result for result in finished if result.trial.epochs == longest]
    candidates = [make_trial_candidate(runner.probed, [result]) for result in finished]
    folds = finished[:1]
    while candidates and len(folds) < min(MAX_FOLDS, runner.probed.table.folds.max() + 1):
        gain, error = mean_difference(candidates[0], start, "log_likelihood")
        trial = replace(finished[0].trial, fold=len(folds))
        if not 0 < gain <= CONVINCING_GAIN * error:
            break
        seconds = runner.estimate_seconds(trial, results)
        if not clock.allows(seconds):
            runner.note(f"not evaluated on another fold: {trial}: {clock.shortage(seconds)}")
            break
        result = runner.run(trial)
        clock.spent += result.seconds
        if result.failed:
            break
        folds.append(result)
        candidates[0] = make_trial_candidate(runner.probed, folds)
    return candidates


def is_promising(probed, start, result):
    """Whether a trial has a higher log-likelihood than the linear classifier that it started from."""
    gain, _ = mean_difference(make_trial_candidate(probed, [result]), start, "log_likelihood")
    return gain > 0


def make_trial_candidate(probed, results):
    """The candidate of a trial from its results on one or several folds."""
    table, trial = probed.table, results[0].trial
    held_out = np.concatenate([np.flatnonzero(table.folds == result.trial.fold) for result in results])
    epoch = round(np.mean([result.epoch for result in results]))
    return Candidate(
        backbone=table.model,
        stage=trial.stage,
        macs=probed.macs[trial.stage],
        logits=np.concatenate([result.logits for result in results]),
        labels=table.labels[held_out],
        held_out=held_out,
        trial=trial,
        epoch=max(epoch, 1),
        seconds=sum(result.seconds for result in results),
    )


def write_trial_inputs(folder, images, probed):
    """Write the pixels as the network takes them, the labels and the folds."""
    taps, names = probed.taps, {*probed.taps.names}
    preprocessing = classifier(probed.model, size=taps.size).preprocessing
    images = images.take([row for row, name in enumerate(images.names) if name in names])
    failed = {}
    shape = (len(taps), *preprocessing.size, preprocessing.channels)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    try:
        with open(folder / "pixels.npy", "wb") as file:  # a memory map would crash the process on a full disk
            np.lib.format.write_array_header_1_0(file, header)
            for _, pixels in images.chunks(preprocessing, 64, failed):
                file.write(np.clip(np.rint(pixels), 0, 255).astype(np.uint8).tobytes())
        for error in failed.values():
            raise error
        np.savez(folder / "answers.npz", labels=taps.labels, folds=probed.table.folds)
    except OSError as error:
        (folder / "answers.npz").unlink(missing_ok=True)
        raise OSError(f"no disk space for the images in {folder}; set TMPDIR to another folder: {error}") from error


def perform_trial(folder, file, fields, batch_size, accumulation_steps, seed, return_weights):
    """Run a trial in the current process."""
    if CAN_FORK:
        keras.utils.set_random_seed(seed)
    trial = Trial(**fields)
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    with np.load(folder / "answers.npz") as answers:
        labels, folds = answers["labels"], answers["folds"]
    model = open_model(file)
    return finetune(
        model,
        pixels,
        labels,
        folds == trial.fold,
        freeze=trial.freeze or None,
        learning_rate=trial.learning_rate,
        augment=trial.augment,
        epochs=trial.epochs,
        last_epoch=trial.last_epoch,
        batch_size=batch_size,
        accumulation_steps=accumulation_steps,
        seed=seed,
        out=folder,
        name=f"maps-{digest(trial.stage)}",
        return_weights=return_weights,
    )


CAN_FORK = hasattr(os, "fork")  # on other systems trials run in this process


@contextmanager
def workers(preload=False):
    """Context manager of a function ``execute(function, *arguments)`` that runs a function in a worker process.

    Errors are raised here as `TrialError`, also if the process died. ``preload`` imports Keras ahead of the first call.

    Workers are forked from a process that has imported Keras and computed nothing. The "forkserver" of multiprocessing
    would run the caller's script again, which fails for scripts without ``if __name__ == "__main__"``; its server
    cannot be stopped, and its children outlive a caller that was killed.
    """
    if not CAN_FORK:
        yield lambda function, *arguments: function(*arguments)
        return
    server = WorkerServer() if preload else None

    def execute(function, *arguments):
        nonlocal server
        server = server or WorkerServer()
        try:
            done, answer = server.ask(function, arguments)
        except (EOFError, OSError) as error:
            server.stop()
            server = None  # the next call starts another one
            raise TrialError(KILLED, "the worker server process has died") from error
        if not done:
            raise TrialError(*answer)
        return answer

    try:
        yield execute
    finally:
        if server:
            server.stop()


class WorkerServer:
    """The process that forks a worker for each request, and the connection to it."""

    def __init__(self):
        self.connection, server_end = Pipe()
        self.idle = True
        paths = [str(Path(__file__).resolve().parents[2]), *filter(None, sys.path)]
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", __name__, str(server_end.fileno())]
        self.process = Popen(command, env=environment, pass_fds=[server_end.fileno()], stderr=DEVNULL)
        server_end.close()

    def ask(self, function, arguments):
        """(True, result) or (False, (kind of error, message))."""
        self.idle = False
        self.connection.send((function, arguments))
        answer = None
        while not isinstance(message := self.connection.recv(), int):
            answer = message
        self.idle = True
        if answer is None:
            name = signal.Signals(-message).name if message < 0 else f"exit code {message}"
            kind = KILLED if message == -signal.SIGKILL else "Died"
            answer = False, (kind, f"the worker process was killed by {name}")
        return answer

    def stop(self):
        if self.idle:
            self.process.terminate()  # it may still be importing Keras
        self.connection.close()  # the server then kills its worker and ends
        self.process.wait()


def serve_requests(connection):
    """Fork a worker for each request until the connection closes; send the exit code, negative for a signal.

    A worker is killed if the caller is gone: the caller sends nothing while it waits, so any message is the end.
    """
    with suppress(EOFError, OSError):
        while True:
            request = connection.recv()
            child = get_context("fork").Process(target=run_and_send, args=(connection, *request))
            child.start()
            if connection in wait([connection, child.sentinel]):
                child.kill()
            child.join()
            connection.send(child.exitcode)


def run_and_send(connection, function, arguments):
    """Run a function, send (True, result) or (False, (kind of error, message)), and end the process."""
    try:
        answer = True, function(*arguments)
    except BaseException as error:
        answer = False, (type(error).__name__, str(error))
    connection.send(answer)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides
    serve_requests(Connection(int(sys.argv[1])))
