"""Read a pickle as plain data: its instructions are followed by hand, and nothing it names is ever called.

Numbers, texts, lists and tables become themselves. Whatever a file asks to be made by calling something (an
`argparse.Namespace`, a path, a whole network) becomes an `Inert`: the name of what would have been called,
and the data that would have been given to it. No module is imported and no function is looked up.
"""

import io
import pickletools
import re
from typing import Any, NoReturn

LARGEST_PICKLE = 64 << 20
"""Bytes of one pickle; the numbers of the tensors lie outside it."""
MOST_INSTRUCTIONS = 1_000_000
"""Most instructions of one pickle; a network of 1,000 layers with its optimizer takes 100,000."""
_PROGRAMS = re.compile(
    r"(os|nt|posix|pty|subprocess|socket|shutil|runpy|importlib|webbrowser|ctypes|multiprocessing)(\..+)? .*"
    r"|(builtins|__builtin__) (eval|exec|compile|__import__|open|input|breakpoint)"
    r"|torch(\.serialization)? load"
)
"""What no checkpoint needs: a file that names it is refused, although it would not be called."""
LONGEST_NAME = 500
"""Characters of what is called; a name can stand in many values, so a long one would take much memory."""
BYTES, STORAGE = "_codecs encode", "torch.storage _load_from_bytes"
_MARK = object()
_PLAIN_KEYS = (str, int, float, bool, type(None))


class Global(str):
    """`MODULE NAME` of something that a pickle names."""

    __slots__ = ()


class Inert:
    """What a pickle asks to be made, unmade: `name` of what it calls, its `arguments`, `states` and `table`.

    `opened` is for whoever reads a file that lies in the arguments, so that it is opened once.
    """

    __slots__ = ("arguments", "name", "opened", "states", "table")

    def __init__(self, name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.name, self.arguments = name, arguments
        self.states: list[dict[Any, Any]] = []
        self.table: dict[Any, Any] = {}
        self.opened: Any = None


class Reference(tuple[Any, ...]):
    """A persistent id: what `torch.save` writes in place of the numbers of a tensor."""

    __slots__ = ()


def read_pickle(file: io.BytesIO) -> tuple[Any, list[Reference]]:
    """Read one pickle as plain data, and list its references; the file is positioned after it when done.

    Raises:
        ValueError: it is damaged, too long, or names a program.
    """
    machine = _Machine()
    try:
        return machine.run(file), machine.references
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError("its table of names is damaged") from error


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.references: list[Reference] = []
        self.inline = 0

    def run(self, file: io.BytesIO) -> Any:
        for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
            if count > MOST_INSTRUCTIONS:
                _refuse(f"its table of names has more than {MOST_INSTRUCTIONS:,} instructions")
            name = operation.name
            if name == "STOP":
                break
            if name in _LITERALS:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name]())
            elif (step := getattr(self, f"_{name.lower()}", None)) is not None:
                step(argument)
            elif name not in ("PROTO", "FRAME"):
                _refuse(f"it has the instruction {name}, which no table of tensors needs")
        return self.stack.pop()

    def _marked(self) -> list[Any]:
        at = next(i for i in range(len(self.stack) - 1, -1, -1) if self.stack[i] is _MARK)
        taken = self.stack[at + 1 :]
        del self.stack[at:]
        return taken

    def _mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._marked()

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _put(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    _binput = _long_binput = _memoize = _put

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    _binget = _long_binget = _get

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._marked()))

    def _list(self, _: Any) -> None:
        self.stack.append(self._marked())

    _frozenset = _list

    def _dict(self, _: Any) -> None:
        values = self._marked()
        self.stack.append({})
        self._set(values)

    def _tuple1(self, _: Any) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def _tuple2(self, _: Any) -> None:
        self.stack[-2:] = [tuple(self.stack[-2:])]

    def _tuple3(self, _: Any) -> None:
        self.stack[-3:] = [tuple(self.stack[-3:])]

    def _append(self, _: Any) -> None:
        self._add([self.stack.pop()])

    def _appends(self, _: Any) -> None:
        self._add(self._marked())

    _additems = _appends

    def _add(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def _setitems(self, _: Any) -> None:
        self._set(self._marked())

    def _set(self, values: list[Any]) -> None:
        target = self.stack[-1]
        table = target.table if isinstance(target, Inert) else target
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) in _PLAIN_KEYS:  # to hash another key can take years
                table[key] = value

    def _global(self, name: str) -> None:
        self.stack.append(_named(name))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if max(len(name), len(module)) > LONGEST_NAME:
            _refuse("it has a name that is too long")
        self.stack.append(_named(f"{module} {name}"))

    def _reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if function in (BYTES, STORAGE):
            self.inline += len(arguments[0])
            if self.inline > 3 * LARGEST_PICKLE:
                _refuse("it holds the same bytes too often")
        if function == BYTES:  # how protocol 2 writes bytes
            self.stack.append(arguments[0].encode("latin1"))
        else:
            self.stack.append(_made(function, arguments))

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        self.stack.pop()
        self._reduce(None)

    def _obj(self, _: Any) -> None:
        function, *arguments = self._marked()
        self.stack.append(_made(function, tuple(arguments)))

    def _inst(self, name: str) -> None:
        self.stack.append(_made(_named(name), tuple(self._marked())))

    def _build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Inert):
            parts = state[:2] if isinstance(state, tuple) else (state,)
            target.states += [part for part in parts if isinstance(part, dict)]

    def _persid(self, text: str) -> None:
        self.stack.append((text,))
        self._binpersid(text)

    def _binpersid(self, _: Any) -> None:
        found = self.stack.pop()
        self.stack.append(Reference(found[:6] if isinstance(found, tuple) else (found,)))
        self.references.append(self.stack[-1])


_TABLES = re.compile(r"collections (OrderedDict|defaultdict|Counter)|(builtins|__builtin__) dict")
_LISTS = re.compile(r"torch Size|(builtins|__builtin__) (list|tuple|set|frozenset)")
_REMADE = re.compile(r"(copyreg|copy_reg) (_reconstructor|__newobj__|__newobj_ex__)")
_LITERALS = frozenset(
    code.name
    for code in pickletools.opcodes
    if code.arg is not None
    and len(code.stack_after) == 1
    and not code.stack_before
    and code.name not in ("GET", "BINGET", "LONG_BINGET", "GLOBAL", "INST", "PERSID")
    and not code.name.startswith("EXT")
)
"""Instructions whose argument is the value: numbers, texts, bytes."""
_CONSTANTS: dict[str, Any] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}


def _named(name: str) -> Global:
    if len(name) > 2 * LONGEST_NAME + 1:
        _refuse("it has a name that is too long")
    if _PROGRAMS.fullmatch(name):
        _refuse(f"it would call {name.replace(' ', '.', 1)}, a program; no checkpoint needs that")
    return Global(name)


def _made(function: Any, arguments: Any) -> Any:
    """Return what a call would make where that is a plain table or list; else an `Inert`."""
    name = str(function) if isinstance(function, Global) else ""
    given = arguments if isinstance(arguments, tuple) else ()
    if _TABLES.fullmatch(name):
        return {}
    if _LISTS.fullmatch(name):
        return given[0] if given and isinstance(given[0], list | tuple) else []
    if _REMADE.fullmatch(name) and given and isinstance(given[0], Global):
        return Inert(str(given[0]), given[1:3])
    return Inert(name, given)


def _refuse(why: str) -> NoReturn:
    raise ValueError(why)
