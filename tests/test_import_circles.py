"""No file imports itself by way of others, counting imports for typing only and those inside functions."""

import graphlib

import grimp
import pytest


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Return one circle as module names, the first repeated at the end; empty if there is none."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("app", ["users", "sessions", "chat"])
def test_no_import_circle(app: str) -> None:
    graph = grimp.build_graph(app, cache_dir=None)  # counts TYPE_CHECKING and function-level imports
    modules = {name for name in graph.modules if ".tests" not in name}
    assert len(modules) > 20
    assert circle({name: graph.find_modules_directly_imported_by(name) & modules for name in modules}) == []


def test_a_circle_of_lazy_and_typing_imports_is_found(tmp_path, monkeypatch) -> None:
    package = tmp_path / "looped"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "above.py").write_text("from looped import below\n")
    (package / "below.py").write_text("def work():\n    from looped.beside import thing\n")
    (package / "beside.py").write_text("import typing\nif typing.TYPE_CHECKING:\n    from looped import above\n")
    monkeypatch.syspath_prepend(tmp_path)
    graph = grimp.build_graph("looped", cache_dir=None)
    found = circle({name: graph.find_modules_directly_imported_by(name) for name in graph.modules})
    assert set(found) == {"looped.above", "looped.below", "looped.beside"}
