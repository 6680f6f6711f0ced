# ruff: noqa: E501, ISC004 - scripts in a few words
"""A script that has not changed is seen as the same in another interpreter; any change of what is sent is seen."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# Each is the body of a script whose function is `function`. Many are run in one interpreter, as modules of their own.
SCRIPTS = {
    "a number": "K = 3\ndef function(i, x, o):\n    o.y = x.x * K",
    "a set": "NAMES = {'a', 'b', 'c', 'd', 'e'}\ndef function(i, x, o):\n    return 'a' in NAMES",
    "a set in the code": "def function(i, x, o):\n    return i in {'aa', 'bb', 'cc', 'dd'}",
    "sets in sets": "S = frozenset({frozenset({'a', 'b'}), frozenset({'c'}), ('x', 'y')})\ndef function():\n    return S",
    "a set of functions": "def a(): return 1\ndef b(): return 2\nS = {a, b}\ndef function():\n    return S",
    "a set of classes": "class A: pass\nclass B: pass\nS = {A, B, int}\ndef function():\n    return S",
    "a dict": "D = {'z': 1, 'y': [2, {'k'}], 3: None}\ndef function():\n    return D",
    "a lambda": "f = lambda v: v + 1\ndef function(x):\n    return f(x)",
    "a closure": "def make(k):\n    def inner(x):\n        return x * k\n    return inner\nfunction = make(4)",
    "closures of each other": """
def make():
    def even(n): return n == 0 or odd(n - 1)
    def odd(n): return n != 0 and even(n - 1)
    return even
function = make()""",
    "recursion": "def function(n):\n    return 1 if n < 2 else n * function(n - 1)",
    "functions of each other": "def a(n):\n    return b(n)\ndef b(n):\n    return a(n - 1) if n else 0\nfunction = a",
    "a partial": "import functools\ndef f(a, b, c=1): return a\nfunction = functools.partial(f, 2, c={'x', 'y'})",
    "np.vectorize": "import numpy as np\ndef f(v): return v + 1\nV = np.vectorize(f, otypes=[float])\ndef function(x):\n    return V(x)",
    "arrays": "import numpy as np\nA, B = np.arange(4), np.ones(3)[::-1]\ndef function():\n    return A, B",
    "odd arrays": """
import numpy as np
A = np.array([{'a', 'b'}, 'x', None], object)
B = np.ma.masked_equal([1, 2, 3], 2)
C = np.array([(1, 2.0)], [('a', 'i4'), ('b', 'f8')])
def function():
    return A, B, C""",
    "a generator of random numbers": "import numpy as np\nR = np.random.default_rng(4)\ndef function():\n    return R",
    "a class": """
class Base:
    names = {'p', 'q', 'r'}
    def twice(self): return 2
class Model(Base):
    '''A model.'''
    k: int = 3
    @property
    def prop(self): return self.k
    @staticmethod
    def s(): return 1
    @classmethod
    def c(cls): return cls
M = Model()
M.others = {'x', 'y', 'z'}
def function():
    return M.twice() + M.prop""",
    "a class with slots": """
class S:
    __slots__ = ('a', 'b')
    def __init__(self): self.a = {'u', 'v', 'w'}
    def get(self): return self.a
X = S()
def function():
    return X.get()""",
    "a bound method": "class M:\n    def f(self): return self.k\nm = M()\nm.k = 3\nfunction = m.f",
    "a callable object": "class M:\n    def __call__(self, i, x, o): o.y = x.x\nfunction = M()",
    "a data class": """
import dataclasses
@dataclasses.dataclass(frozen=True)
class P:
    a: int = 1
    names: frozenset = frozenset({'x', 'y', 'z'})
    more: list = dataclasses.field(default_factory=list)
V = P()
def function():
    return V.a""",
    "an enumeration": """
import enum
class E(enum.Enum):
    A = 'a'
    B = 'b'
class F(enum.Flag):
    R = enum.auto()
    W = enum.auto()
def function():
    return E.A, F.R | F.W""",
    "named tuples": """
import collections, typing
P = collections.namedtuple('P', 'x y')
class Q(typing.NamedTuple):
    a: int
    b: str = 'b'
V = P(1, Q(2))
def function():
    return V""",
    "abstract classes": """
import abc
class A(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
class B(A):
    def f(self): return super().f()
V = B()
def function():
    return V.f()""",
    "collections": """
import collections, datetime, decimal, fractions, pathlib, re
V = [collections.Counter('abca'), collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]),
     collections.deque([1, 2]), datetime.date(2020, 1, 2), decimal.Decimal('1.5'), fractions.Fraction(1, 3),
     pathlib.Path('/a'), re.compile('a+', re.I), range(3), slice(1, 2), b'x', 1j, ...]
def function():
    return V""",
    "modules of packages": "import math, logging\nimport numpy as np\nlog = logging.getLogger('x')\ndef function(x):\n    log.info('')\n    return math.sin(np.log1p(x))",
    "a cached function": "import functools\n@functools.lru_cache(maxsize=9)\ndef f(n): return f(n - 1) if n else 0\ndef function(x):\n    return f(x)",
    "a function of the type": """
import functools
@functools.singledispatch
def f(v): return v
@f.register
def _(v: int): return v + 1
@f.register(str)
def _(v): return v + 'x'
def function(x):
    return f(x)""",
    "a cached property": """
import functools
class M:
    @functools.cached_property
    def p(self): return 3
m = M()
def function():
    return m.p""",
    "decorators": """
import functools
def twice(f):
    @functools.wraps(f)
    def inner(*a): return 2 * f(*a)
    return inner
@twice
def function(x): return x""",
    "an exception": "class E(ValueError):\n    pass\ndef function():\n    try:\n        raise E\n    except E as e:\n        raise RuntimeError from e",
    "a module of its own": "import helper\ndef function(x):\n    return helper.f(x)",
    "a long chain of functions": "def f0(): return 1\n"
    + "".join(f"def f{k + 1}(): return f{k}()\n" for k in range(2000))
    + "function = f2000",
    "a long chain of objects": "L = None\nfor _ in range(5000): L = [L]\ndef function():\n    return L",
    "a circle": "L = [1]\nL.append(L)\nD = {'l': L}\nD['d'] = D\ndef function():\n    return L, D",
    "comprehensions": "K = {'a', 'b'}\ndef function(x):\n    return [k for k in K if k in {v for v in x}]",
    "async and yield": "def g():\n    yield from ({'a', 'b'},)\nasync def h(): return 1\ndef function():\n    return list(g()), h",
}
HELPER = """
import functools, logging, os
NAMES = {'one', 'two', 'three'}
log = logging.getLogger(__name__)
class C:
    names = {'four', 'five'}
    def f(self): return NAMES
c = C()
@functools.lru_cache
def cached(x): return c.f()
def f(x): return cached(x)
"""
PRINT = """
import sys
sys.path.insert(0, {folder!r})
from rios_batch.awsbatch.fingerprint import function_digest
for name, source in {scripts!r}.items():
    space = {{"__name__": "__main__"}}
    sys.modules["__main__"].__dict__.update(space)
    exec(compile(source, "script.py", "exec"), space)
    print(name, function_digest(space["function"]), sep=": ")
"""


def digests(folder: Path, hash_seed: int, scripts: dict[str, str], helper: str = HELPER) -> dict[str, str]:
    """Return the digests of scripts in a new interpreter."""
    (folder / "helper.py").write_text(helper)
    done = subprocess.run(
        [sys.executable, "-c", PRINT.format(folder=str(folder), scripts=scripts)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split(": ") for line in done.stdout.splitlines())


def test_unchanged_scripts_are_the_same_in_another_interpreter(tmp_path: Path) -> None:
    first = digests(tmp_path, 1, SCRIPTS)

    for seed in (2, 3):  # the second of all has a compiled helper
        assert digests(tmp_path, seed, SCRIPTS) == first
    assert len(set(first.values())) == len(SCRIPTS) > 30


CHANGES = {
    "a value set into a helper module": (
        "import helper\nhelper.K = {}\ndef function():\n    return helper.f(1)",
        "1",
        "2",
    ),
    "a file that a helper reads": (
        "import helper\ndef function():\n    return helper.SETTINGS",
        "1",
        "2",
    ),
    "what np.vectorize is given": (
        "import numpy as np\ndef f(v): return v + {}\nV = np.vectorize(f)\ndef function(x):\n    return V(x)",
        "1",
        "2",
    ),
    "a lambda of np.vectorize": (
        "import numpy as np\nV = np.vectorize(lambda v: v + {})\ndef function(x):\n    return V(x)",
        "1",
        "2",
    ),
    "a class attribute that is a set": (
        "class M:\n    s = {{1, {}}}\ndef function():\n    return M.s",
        "2",
        "3",
    ),
    "a class attribute that is an object": (
        "import re\nclass M:\n    s = re.compile({})\ndef function():\n    return M.s",
        "'a'",
        "'b'",
    ),
    "a method of a class with slots": (
        "class M:\n    __slots__ = ('a',)\n    def f(self): return {}\nm = M()\ndef function():\n    return m.f()",
        "1",
        "2",
    ),
    "a value in a slot": (
        "class M:\n    __slots__ = ('a',)\nm = M()\nm.a = {}\ndef function():\n    return m.a",
        "1",
        "2",
    ),
    "two arrays swapped": (
        "import numpy as np\nA, B = np.zeros(3), np.ones(3)\n{}\ndef function():\n    return A - B",
        "",
        "A, B = B, A",
    ),
    "two arrays of a list swapped": (
        "import numpy as np\nA, B = np.zeros(3), np.ones(3)\nL = {}\ndef function():\n    return A, B, L",
        "[A, B]",
        "[B, A]",
    ),
    "two functions swapped": (
        "def a(): return 1\ndef b(): return 2\nL = {}\ndef function():\n    return a, b, L",
        "[a, b]",
        "[b, a]",
    ),
    "a cached function": (
        "import functools\n@functools.lru_cache\ndef f(): return {}\ndef function():\n    return f()",
        "1",
        "2",
    ),
    "a function of the type": (
        "import functools\n@functools.singledispatch\ndef f(v): return 0\n@f.register(int)\ndef _(v): return {}\n"
        "def function(x):\n    return f(x)",
        "1",
        "2",
    ),
    "a cached property": (
        "import functools\nclass M:\n    @functools.cached_property\n    def p(self): return {}\n"
        "m = M()\ndef function():\n    return m.p",
        "1",
        "2",
    ),
    "a mask": (
        "import numpy as np\nA = np.ma.masked_equal([1, 2], {})\ndef function():\n    return A",
        "1",
        "2",
    ),
    "a member of an enumeration": (
        "import enum\nclass E(enum.Enum):\n    A = {}\ndef function():\n    return E.A",
        "1",
        "2",
    ),
    "a default of a data class": (
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    a: int = {}\ndef function():\n    return P()",
        "1",
        "2",
    ),
    "what a setter does": (
        "class M:\n    @property\n    def p(self): return 1\n    @p.setter\n    def p(self, v): self.k = v + {}\n"
        "m = M()\ndef function():\n    m.p = 3",
        "1",
        "2",
    ),
    "a keyword's default": ("def function(*, k={}):\n    return k", "1", "2"),
    "an attribute of a function": ("def f(): pass\nf.k = {}\ndef function():\n    return f.k", "1", "2"),
    "the order of a dict": (
        "D = {}\ndef function():\n    return list(D)",
        "{'a': 1, 'b': 2}",
        "{'b': 2, 'a': 1}",
    ),
    "a bound method's object": (
        "class M:\n    def f(self): return self.k\nm = M()\nm.k = {}\nfunction = m.f",
        "1",
        "2",
    ),
    "a base class": (
        "class A:\n    def f(self): return {}\nclass B(A):\n    pass\ndef function():\n    return B().f()",
        "1",
        "2",
    ),
    "a metaclass": (
        "class T(type):\n    def f(cls): return {}\nclass A(metaclass=T):\n    pass\ndef function():\n    return A.f()",
        "1",
        "2",
    ),
    "a handler of an exception": (
        "def function(x):\n    try:\n        return x()\n    except {}:\n        return 0",
        "ValueError",
        "KeyError",
    ),
    "a minus before zero": ("K = {}\ndef function():\n    return K", "0.0", "-0.0"),
    "a type of number": ("K = {}\ndef function():\n    return K", "1", "True"),
}
HELPER_WITH_SETTINGS = """
import pathlib
K = 0
SETTINGS = (pathlib.Path(__file__).parent / "settings.txt").read_text()
def f(x): return K
"""


def test_changes_of_what_is_sent_are_seen(tmp_path: Path) -> None:
    found = []
    for number in (0, 1):
        (tmp_path / "settings.txt").write_text(str(number))
        scripts = {name: change[0].format(change[1 + number]) for name, change in CHANGES.items()}
        found.append(digests(tmp_path, number, scripts, HELPER_WITH_SETTINGS))

    unseen = [name for name in CHANGES if found[0][name] == found[1][name]]
    assert unseen == []


@pytest.mark.parametrize(
    "source",
    [
        "import threading\nL = threading.Lock()\ndef function():\n    return L",
        "import sys\nF = open(sys.executable)\ndef function():\n    return F",
        "G = (n for n in [1])\ndef function():\n    return G",
    ],
    ids=["a lock", "an open file", "a generator"],
)
def test_what_cannot_be_sent_is_never_the_same(source: str, tmp_path: Path) -> None:
    assert digests(tmp_path, 1, {"s": source}) != digests(tmp_path, 1, {"s": source})
