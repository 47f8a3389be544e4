"""Processes of their own for work that may run out of memory, crash or never come back: `Crew`.

One process loads Keras once, and splits itself for each piece of work, which costs milliseconds where an import costs
seconds, and leaves nothing behind: no memory, no compiled functions.
"""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from .points import KILLED, Failed

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

    from . import finetuning  # noqa: F401

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
