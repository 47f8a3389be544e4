"""Where points are worked on: files that they share, networks that they begin with, a process for each."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import keras
import numpy as np

from ..inputs.classifier import classifier, open_model
from ..support.store import digest
from .finetune import finetuned
from .networks import Probed, fitted, linear
from .store import Ledger
from .trials import KILLED, Failed, Point, certain, settled, surest

START = 5.0  # seconds that a point may take before its first step


@dataclass(frozen=True, eq=False)
class Desk:
    """``do`` is a `crew`'s; ``folder`` is for files that go with it, the ``ledger`` is what stays."""

    probed: Probed
    wide: tuple  # it in more views
    images: object
    folder: Path
    do: Callable
    ledger: Ledger
    seed: int
    note: Callable

    def settled(self, point, weights=False):
        """The ``Outcome`` of a point."""
        context = self.own(point.stage).key(self.seed)
        outcome = settled(point, partial(self.perform, weights=weights), self.ledger, context)
        judged = "" if outcome.accuracy is None else f"{outcome.accuracy:.1%} of images held out, "
        self.note(f"{point}: {outcome.failed or f'{judged}{outcome.seconds:.0f} s'}")
        return outcome

    def perform(self, point, batch, together, weights=False):
        """The ``Finetuned`` of a point, from a process of its own."""
        if not (self.folder / "answers.npz").exists():
            laid_out(self.folder, self.images, self.probed)
        file = self.begun(point)
        return self.do(worked, self.folder, file, asdict(point), batch, together, self.seed, weights)

    def own(self, stage):
        """The ``Probed`` with those views of which the surest classifier of a stage learnt."""
        known = {each: probed for probed in (self.probed, *self.wide) for each in probed.candidates}
        return known[surest([each for each in known if each.stage == stage])]

    def begun(self, point):
        """The file of the network that a point begins with: its head has learnt from what does not judge the point."""
        path, own = self.folder / f"{digest(point.stage, point.fold)}.keras", self.own(point.stage)
        table = own.table
        if not path.exists():
            shown = own.taps.take(table.folds != point.fold)
            with certain():
                head = fitted(shown, table, point.stage, linear(table, point.stage)["head"])
            head.model(self.probed.model).save(path)
        return path

    def guess(self, point, outcomes):
        """Seconds that a point may take: by those before it, else three times what a pass took for each epoch."""
        known = [each for each in outcomes if each.point.freeze == point.freeze and len(each.history) > 1]
        own = 3 * self.probed.seconds["features"]
        own = max(row["seconds"] for row in known[-1].history) if known else own
        return START + own * point.epochs

    def finished(self, winner):
        """(the network that was chosen, the seconds that it took to learn again from all images)."""
        point = replace(winner.point, fold=-1, stop=max(winner.epoch, 1))
        outcome = self.settled(point, weights=True)
        if outcome.failed:
            raise RuntimeError(f"the network that was chosen cannot learn from all images: {outcome.failed}")
        model = open_model(self.begun(point))
        model.set_weights(outcome.weights)
        dense = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Dense))
        dense.set_weights([np.asarray(weight) / winner.temperature for weight in dense.get_weights()])
        return model, outcome.seconds


def laid_out(folder, images, probed):
    """Write the pixels of the images that have features, as the network is given them."""
    found = probed.taps
    cut, there = classifier(probed.model, size=found.size).preprocessing, {*found.names}
    images = images.take([row for row, name in enumerate(images.names) if name in there])
    failed = {}
    head = {"descr": "|u1", "fortran_order": False, "shape": (len(found), *cut.size, cut.channels)}
    try:
        with open(folder / "pixels.npy", "wb") as file:  # written: a map in memory ends the process on a full disk
            np.lib.format.write_array_header_1_0(file, head)
            for _, pixels in images.chunks(cut, 64, failed):
                file.write(np.clip(np.rint(pixels), 0, 255).astype(np.uint8).tobytes())
        for error in failed.values():
            raise error
        np.savez(folder / "answers.npz", labels=found.labels, folds=probed.table.folds)
    except OSError as error:
        (folder / "answers.npz").unlink(missing_ok=True)
        raise OSError(f"{folder} has no room for the images, TMPDIR names another place: {error}") from error


def worked(folder, file, fields, batch, together, seed, weights):
    """A point, done in whatever process this is."""
    if SPLITS:
        keras.utils.set_random_seed(seed)
    point = Point(**fields)
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    with np.load(folder / "answers.npz") as answers:
        labels, folds = answers["labels"], answers["folds"]
    model = open_model(file)
    how = {name: getattr(point, name) for name in ("rate", "augment", "epochs", "stop")}
    how |= {"batch": batch, "together": together, "seed": seed, "weights": weights, "folder": folder}
    name = f"maps-{digest(point.stage)}"
    return finetuned(model, pixels, labels, folds == point.fold, freeze=point.freeze or None, name=name, **how)


HERE = Path(__file__).resolve()
SPLITS = hasattr(os, "fork")  # elsewhere work is done in this process


@contextmanager
def crew(soon=False):
    """A function ``do(function, *arguments)`` that has it done in another process, which is gone afterwards.

    Errors are raised here as ``Failed``, also where the process died. Work that comes ``soon`` finds Keras loaded.
    """
    if not SPLITS:
        yield lambda function, *arguments: function(*arguments)
        return
    server = [*started()] if soon else []  # the process and the line to it: begun again where it was killed

    def do(function, *arguments):
        nonlocal idle
        if not server:
            server.extend(started())
        try:
            idle = False
            server[1].send((function, arguments))
            found = answered(server[1])
            idle = True
        except (EOFError, OSError) as error:
            stop(server)
            raise Failed(KILLED, "the process that starts others is gone") from error
        return result_of(*found)

    idle = True
    try:
        yield do
    finally:
        if server and idle:
            server[0].terminate()  # it may still be loading Keras; where it is at work, it first ends that
        stop(server)


def started():
    """The process that splits itself, and the line to it."""
    ours, theirs = Pipe()
    paths = [str(HERE.parents[2]), *filter(None, sys.path)]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    words = [sys.executable, "-m", __name__, str(theirs.fileno())]
    process = subprocess.Popen(words, env=environment, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
    theirs.close()
    return process, ours


def answered(line):
    """(True, result) or (False, (kind of error, text)) of a piece of work."""
    found = None
    while not isinstance(message := line.recv(), int):
        found = message
    if found is None:
        name = signal.Signals(-message).name if message < 0 else f"exit {message}"
        found = False, (KILLED if message == -signal.SIGKILL else "Died", f"its process ended with {name}")
    return found


def result_of(done, answer):
    """What work came to, or its error raised here."""
    if not done:
        raise Failed(*answer)
    return answer


def stop(server):
    if server:
        process, line = server
        line.close()  # which ends it, and what it is doing
        process.wait()
        server.clear()


def serve(connection):
    """Split for each piece of work that comes, until nobody is there to ask."""
    import keras  # noqa: F401

    from . import finetune  # noqa: F401

    with suppress(EOFError, ConnectionResetError):
        while True:
            work = connection.recv()
            child = os.fork()
            if not child:
                connection.send(attempt(*work))
                os._exit(0)
            connection.send(watched(child, connection))


def attempt(function, arguments):
    """(True, result) or (False, (kind of error, text))."""
    try:
        return True, function(*arguments)
    except BaseException as error:
        return False, (type(error).__name__, str(error))


def watched(child, connection):
    """The exit code of a child, negative for a signal; it is killed if whoever asked is gone."""
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if connection.poll(0.05):  # nothing is asked before the answer: this is the end
            os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(ended[1])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked decides
    serve(Connection(int(sys.argv[1])))
