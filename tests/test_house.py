"""Rules of the house: who imports whom, how large rooms and functions are, what every public function says."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("rasterize", "pgan", "decode")
CODE = (*PACKAGES, "benchmarks")
ALLOWED = {"rasterize": {"rasterize"}, "pgan": {"pgan", "rasterize"}, "decode": {"decode", "rasterize"}}
PGAN_MAY_USE = {f"rasterize.{name}" for name in ("errors", "files", "flags", "imageset", "spec", "workers")}
OF_TRIPS = {
    "trip",
    "station",
    "stroke",
    "rider",
    "ride",
    "bike",
    "scooter",
    "taxi",
    "route",
    "place",
    "dock",
    "waypoint",
    "city",
    "citie",
    "blob",
}
HEAVY = {"torch", "numba", "matplotlib", "duckdb", "pandas", "geopandas", "sklearn", "cv2", "scipy", "numpy"}
COMMANDS = [
    ["rasterize"],
    ["pgan"],
    ["pgan", "train"],
    ["pgan", "sample"],
    ["pgan", "judge"],
    ["decode"],
    ["decode", "choose"],
    ["decode", "compare"],
    ["decode", "roundtrip"],
]
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
COMMENTED = ("decode/solver", "pgan/steps", "pgan/run", "rasterize/strokes")
MOST_FILES, MOST_LINES, MOST_ARGUMENTS, LEAST_COMMENTS = 16, 45, 8, 0.04
MIDDLE_BODY, LONG_BODY = 8, 25  # lines of a function's body: the median, and nine of ten


def parsed(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Every file of code below the folders, and its syntax tree."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    """The dotted name of a file's module."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imported_modules(tree: ast.Module, known: set[str] = frozenset()) -> Iterator[str]:
    """All modules a file imports, in functions and under TYPE_CHECKING too.

    A public name that a package's root lends counts as that of the module where it stands, see `__init__.pyi`.
    """
    lent = lent_names()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in known else lent.get(inner, node.module)


def lent_names() -> dict[str, str]:
    """The module of each public name that the root of a package lends: `rasterize.raster` is of `rasterize.api`."""
    return {
        f"{package}.{name.name}": f"{package}.{node.module}"
        for package in PACKAGES
        for node in ast.parse((ROOT / package / "__init__.pyi").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }


# ---- who imports whom


@pytest.mark.parametrize("package", PACKAGES)
def test_import_directions(package):
    for path, tree in parsed(package):
        for module in imported_modules(tree):
            top = module.split(".")[0]
            assert top not in PACKAGES or top in ALLOWED[package], f"{path} imports {module}"
            assert top != "torch" or package == "pgan", f"{path} imports torch"
            if package == "pgan" and top == "rasterize":
                assert module in PGAN_MAY_USE, f"{path} imports {module}"


def test_no_circle_of_imports():
    trees = {name_of(path): tree for path, tree in parsed(*CODE)}
    imports = {name: {m for m in imported_modules(tree, set(trees)) if m in trees} for name, tree in trees.items()}
    while leaves := [name for name, needed in imports.items() if not needed]:
        imports = {name: needed - set(leaves) for name, needed in imports.items() if name not in leaves}
    assert not imports, f"circles among {sorted(imports)}"


def test_pgan_names_nothing_of_trips():
    """Names, attributes and plain texts; comments and docstrings may explain a measurement."""
    for path, tree in parsed("pgan"):
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node)
        }
        for node in ast.walk(tree):
            words = [getattr(node, field, None) for field in ("id", "attr", "arg", "name", "asname")]
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                words.append(node.value)
            if isinstance(node, ast.ImportFrom):
                words += [name.name for name in node.names]
            for text in filter(lambda word: isinstance(word, str), words):
                singular = {word.lower().removesuffix("s") for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", text)}
                assert text == "pgan-trips" or not singular & OF_TRIPS, f"{path}: {text!r}"


# ---- how large rooms and functions are


def test_no_folder_of_code_is_crowded():
    for folder in {path.parent for path, _ in parsed(*CODE, "tests")}:
        count = len(list((ROOT / folder).glob("*.py")))
        assert count <= MOST_FILES, f"{folder} has {count} files"


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef, bool]]:
    """Functions and methods by name, and whether they are public; those inside `if` too."""
    blocks = [tree, *(node for node in tree.body if isinstance(node, ast.If))]
    for node in (node for block in blocks for node in block.body):
        if isinstance(node, FUNCTION):
            yield node.name, node, not node.name.startswith("_")
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, FUNCTION):
                    is_public = not node.name.startswith("_") and not method.name.startswith("_")
                    yield f"{node.name}.{method.name}", method, is_public


def arguments(function: ast.FunctionDef) -> list[str]:
    """Names of its arguments but self and cls."""
    named = function.args
    every = [*named.posonlyargs, *named.args, *named.kwonlyargs, *filter(None, (named.vararg, named.kwarg))]
    return [argument.arg for argument in every if argument.arg not in ("self", "cls")]


def docstring_lines(function: ast.FunctionDef) -> int:
    first = function.body[0]
    return first.end_lineno - first.lineno + 1 if ast.get_docstring(function) else 0


def is_kernel(function: ast.FunctionDef) -> bool:
    """Whether numba compiles it."""
    return any(ast.unparse(decorator).startswith("compiled(") for decorator in function.decorator_list)


def test_functions_are_short_and_take_few_arguments():
    for path, tree in parsed(*CODE):
        for name, function, _ in functions(tree):
            if not is_kernel(function):
                lines = function.end_lineno - function.lineno + 1 - docstring_lines(function)
                assert lines <= MOST_LINES, f"{path}: {name} has {lines} lines"
                assert len(arguments(function)) <= MOST_ARGUMENTS, f"{path}: {name} takes {len(arguments(function))}"


def test_bodies_are_short_on_the_whole():
    bodies = sorted(
        function.end_lineno - function.body[0].lineno + 1 - docstring_lines(function)
        for _, tree in parsed(*PACKAGES)
        for _, function, _ in functions(tree)
    )
    assert bodies[len(bodies) // 2] <= MIDDLE_BODY
    assert bodies[len(bodies) * 9 // 10] <= LONG_BODY


# ---- what they say


def exported() -> set[str]:
    """Names that the `__init__.pyi` of the packages list."""
    stubs = "".join((ROOT / package / "__init__.pyi").read_text(encoding="utf-8") for package in PACKAGES)
    return {name for line in re.findall(r"__all__ = (\[.*\])", stubs) for name in ast.literal_eval(line)}


def test_public_functions_document_parameters_and_returns():
    missing = []
    for path, tree in parsed(*PACKAGES):
        of_api = path.name in ("api.py", "imageset.py")
        for name, function, is_public in functions(tree):
            is_exported = of_api and name.split(".")[0] in exported() and arguments(function)
            if is_public and (len(arguments(function)) > 2 or is_exported):
                text = ast.get_docstring(function) or ""
                gives = any(isinstance(node, ast.Return) and node.value is not None for node in ast.walk(function))
                wanted = ["Parameters"] + (["Returns"] if gives and "Yields\n---" not in text else [])
                missing += [f"{path}: {name}: {section}" for section in wanted if f"{section}\n---" not in text]
    assert not missing, "\n".join(missing)


def test_every_public_name_has_a_docstring():
    for path, tree in parsed(*CODE):
        for name, function, is_public in functions(tree):
            assert not is_public or ast.get_docstring(function), f"{path}: {name}"


@pytest.mark.parametrize("folder", COMMENTED)
def test_long_code_has_paragraph_comments(folder):
    lines = [line.strip() for path in (ROOT / folder).glob("*.py") for line in path.read_text().splitlines()]
    share = sum(line.startswith("#") for line in lines) / sum(map(bool, lines))
    assert share >= LEAST_COMMENTS, f"{folder}: {share:.1%} of the lines are comments"


def test_no_function_has_the_name_of_a_module_beside_it():
    modules = {name_of(path) for path, _ in parsed(*PACKAGES)}
    for path, tree in parsed(*PACKAGES):
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                assert f"{name_of(path.parent / 'x')[:-2]}.{node.name}" not in modules, f"{path}: {node.name}"


def test_every_file_says_its_purpose_in_its_first_line():
    for path, _ in parsed(*CODE, "tests"):
        assert re.match(r'""".+', (ROOT / path).read_text(encoding="utf-8")), f"{path} has no docstring at its top"


# ---- commands and packaging


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_answers_without_loading_anything_heavy(command):
    script = (
        "import runpy, sys\n"
        f"sys.argv = {[*command, '--help']!r}\n"
        "try:\n"
        f"    runpy.run_module({command[0]!r}, run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    print('LOADED', *{name.split('.')[0] for name in sys.modules})\n"
        "    sys.exit(end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert not loaded & HEAVY


def test_packages_are_listed_explicitly():
    listed = re.search(r"packages =\n((?:    \w[\w.]*\n)+)", (ROOT / "setup.cfg").read_text()).group(1).split()
    found = sorted(
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    )
    assert sorted(listed) == found


def test_constraints_hold_names_and_versions_only():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines and all(re.fullmatch(r"[\w.-]+==[\w.!+-]+", line) for line in lines)
