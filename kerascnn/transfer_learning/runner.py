"""Where points are worked on: files that they share, networks that they begin with, a process for each."""

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

from ..inputs.classifier import classifier, open_model
from ..support.store import Store, digest
from .finetune import finetuned
from .networks import Probed, fitted
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
    ledger: Store
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
        """The ``Probed`` with those views of which the surest classifier of a stage learned."""
        known = {each: probed for probed in (self.probed, *self.wide) for each in probed.candidates}
        return known[surest([each for each in known if each.stage == stage])]

    def begun(self, point):
        """The file of the network that a point begins with: its head has learned from what does not judge the point."""
        path, own = self.folder / f"{digest(point.stage, point.fold)}.keras", self.own(point.stage)
        table = own.table
        if not path.exists():
            shown = own.taps.take(table.folds != point.fold)
            with certain():
                head = fitted(shown, table, point.stage, table.linear(point.stage)["head"])
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


SPLITS = hasattr(os, "fork")  # elsewhere work is done in this process


@contextmanager
def crew(soon=False):
    """A function ``do(function, *arguments)`` that has it done in another process, which is gone afterwards.

    Errors are raised here as ``Failed``, also where the process died. Work that comes ``soon`` finds Keras loaded.

    The processes are forked from one that has imported Keras and computed nothing. multiprocessing's "forkserver"
    would run the caller's script again, which scripts without ``if __name__ == "__main__"`` do not survive; its server
    cannot be stopped, and its children outlive a caller that was killed.
    """
    if not SPLITS:
        yield lambda function, *arguments: function(*arguments)
        return
    server = Server() if soon else None

    def do(function, *arguments):
        nonlocal server
        server = server or Server()
        try:
            done, answer = server.ask(function, arguments)
        except (EOFError, OSError) as error:
            server.stop()
            server = None  # the next work starts another one
            raise Failed(KILLED, "the process that starts others is gone") from error
        if not done:
            raise Failed(*answer)
        return answer

    try:
        yield do
    finally:
        if server:
            server.stop()


class Server:
    """The process that forks another one for each piece of work, and the connection to it."""

    def __init__(self):
        self.connection, theirs = Pipe()
        self.idle = True
        paths = [str(Path(__file__).resolve().parents[2]), *filter(None, sys.path)]
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        words = [sys.executable, "-m", __name__, str(theirs.fileno())]
        self.process = Popen(words, env=environment, pass_fds=[theirs.fileno()], stderr=DEVNULL)
        theirs.close()

    def ask(self, function, arguments):
        """(True, result) or (False, (kind of error, text))."""
        self.idle = False
        self.connection.send((function, arguments))
        found = None
        while not isinstance(message := self.connection.recv(), int):
            found = message
        self.idle = True
        if found is None:
            name = signal.Signals(-message).name if message < 0 else f"exit {message}"
            kind = KILLED if message == -signal.SIGKILL else "Died"
            found = False, (kind, f"its process ended with {name}")
        return found

    def stop(self):
        if self.idle:
            self.process.terminate()  # it may still be loading Keras
        self.connection.close()  # which ends it, and first the work that it has begun
        self.process.wait()


def serve(connection):
    """Fork for each piece of work that comes, until nobody is there to ask; send the exit code, negative for a signal.

    A child is killed if whoever asked is gone: nothing is asked before the answer, so what comes then is the end.
    """
    with suppress(EOFError, OSError):
        while True:
            work = connection.recv()
            child = get_context("fork").Process(target=attempt, args=(connection, *work))
            child.start()
            if connection in wait([connection, child.sentinel]):
                child.kill()
            child.join()
            connection.send(child.exitcode)


def attempt(connection, function, arguments):
    """Send (True, result) or (False, (kind of error, text)), and end this process at once."""
    try:
        answer = True, function(*arguments)
    except BaseException as error:
        answer = False, (type(error).__name__, str(error))
    connection.send(answer)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked decides
    serve(Connection(int(sys.argv[1])))
