"""Pickles read as data: an interpreter of their opcodes that cannot import or call anything.

Python's own unpickler calls what a pickle names, and a subclass of it that forbids names still runs C code that can be
made to allocate gigabytes or to overflow the stack. A tensor file needs about forty of the opcodes; here each acts on a
plain list, the names that it may mention are rows of a table, and any other opcode or name is an error.
"""

import pickletools


class PickleError(Exception):
    """A pickle that is damaged or contains more than data."""


class GlobalName(tuple):
    """A (module, name) that a pickle mentions: looked up by ``Machine.reduce``, never imported."""

    __slots__ = ()

    def __str__(self):
        return ".".join(self)[:120]


class DroppedObject:
    """Stands for an object that is not a tensor (a numpy scalar, parsed arguments) and is dropped."""

    __slots__ = ()


DROPPED, MARK = DroppedObject(), object()
NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
TEXTS = {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "SHORT_BINSTRING", "BINSTRING"}
LITERALS = NUMBERS | TEXTS | {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": DroppedObject}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PUT, GET = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
MAX_OPCODES = 2_000_000  # more than twice those of a network of a thousand layers with its optimizer
KEYS = str | int | float | bytes | None  # hashing deep tuples would overflow the stack


class PickleMachine:
    """Reads one pickle. ``calls``: Name -> function(*args) for what it may build; ``load``: persistent id -> object."""

    def __init__(self, calls, load):
        self.calls, self.load = calls, load
        self.stack, self.memo = [], {}

    def run(self, stream):
        """The object of the pickle at the position of ``stream``, which is left at its end."""
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if count == MAX_OPCODES:
                    raise PickleError(f"a pickle of more than {MAX_OPCODES:,} steps")
                self.step(opcode.name, argument)
            (result,) = self.stack
        except PickleError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise PickleError(f"a damaged pickle ({type(error).__name__}: {str(error)[:120]})") from None
        return result

    def step(self, code, argument):
        stack = self.stack
        if code in LITERALS:
            stack.append(argument)
        elif code in CONSTANTS:
            stack.append(CONSTANTS[code])
        elif code in EMPTY:
            stack.append(EMPTY[code]())
        elif code in TUPLES:
            self.wrap(TUPLES[code])
        elif code in PUT:
            self.memo[argument] = stack[-1]
        elif code == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif code in GET:
            stack.append(self.memo[argument])
        elif code in ACTIONS:
            ACTIONS[code](self, argument)
        elif code not in ("PROTO", "FRAME", "STOP"):
            raise PickleError(f"a pickle with opcode {code}, which tensor files do not need")

    def wrap(self, count):
        if len(self.stack) < count:
            raise IndexError("a pickle that reads from an empty stack")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def pop_to_mark(self):
        """What was pushed since the last mark."""
        for at in range(len(self.stack) - 1, -1, -1):
            if self.stack[at] is MARK:
                found = self.stack[at + 1 :]
                del self.stack[at:]
                return found
        raise IndexError("a pickle with a missing mark")

    def mark(self, _):
        self.stack.append(MARK)

    def name(self, argument):
        self.push_name(argument.split(" ", 1))

    def stack_name(self, _):
        self.wrap(2)
        self.push_name(self.stack.pop())

    def push_name(self, parts):
        name = GlobalName(map(str, parts))
        if name not in self.calls:
            raise PickleError(
                f"a pickle that refers to {name}, which was not imported for safety "
                "(does it contain a whole model? Then save its state_dict instead)"
            )
        self.stack.append(name)

    def reduce(self, _):
        arguments, made = self.stack.pop(), self.stack.pop()
        if not isinstance(made, GlobalName) or not isinstance(arguments, tuple):
            raise PickleError(f"a pickle that calls a {type(made).__name__}, which was not done for safety")
        self.stack.append(self.calls[made](*arguments))

    def build(self, _):
        """Attributes (an OrderedDict's _metadata, a numpy type's byte order) are dropped."""
        del self.stack[-1]
        self.stack[-1]

    def persistent(self, _):
        self.stack.append(self.load(self.stack.pop()))

    def set_items(self, items):
        into = self.stack[-1]
        if isinstance(into, DroppedObject):
            return
        if not isinstance(into, dict) or len(items) % 2:
            raise PickleError(f"a pickle that sets items of a {type(into).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, KEYS):
                raise PickleError(f"a pickle with a {type(key).__name__} as a key")
            into[key] = value

    def set_item(self, _):
        self.wrap(2)
        self.set_items(self.stack.pop())

    def extend(self, items):
        into = self.stack[-1]
        if not isinstance(into, list | DroppedObject):
            raise PickleError(f"a pickle that appends to a {type(into).__name__}")
        if isinstance(into, list):
            into.extend(items)


ACTIONS = {
    "MARK": PickleMachine.mark,
    "POP": lambda machine, _: machine.stack.pop(),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_to_mark()),
    "DICT": lambda machine, _: push_dict(machine, {}),
    "SETITEM": PickleMachine.set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "GLOBAL": PickleMachine.name,
    "STACK_GLOBAL": PickleMachine.stack_name,
    "REDUCE": PickleMachine.reduce,
    "NEWOBJ": PickleMachine.reduce,
    "BUILD": PickleMachine.build,
    "BINPERSID": PickleMachine.persistent,
}


def push_dict(machine, into):
    items = machine.pop_to_mark()
    machine.stack.append(into)
    machine.set_items(items)
