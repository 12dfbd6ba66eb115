"""What a set-up leaves for each checkout, and what never reaches one."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.environments.products import (
    find_sources,
    ignore_patterns,
    keep_products,
    overlays_in,
    provide_products,
)
from orchestrator.errors import EnvironmentFailed
from orchestrator.interfaces.environment import Environment


@pytest.fixture
def root(tmp_path):
    tree = tmp_path / "env" / "tree"
    for path in ("a.py", "web/package.json", "web/node_modules/x/index.js", "node_modules/y.js",
                 "gen/out.txt", "pkg/fast.so", "build/lib/a.py"):  # fmt: skip
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(path)
    return tmp_path / "env"


TRACKED = {"a.py", "web/package.json", "pkg/__init__.py"}


def test_of_the_tree_only_untracked_paths_remain_and_no_results_of_its_sources(root):
    assert keep_products(root / "tree", TRACKED, None) == [
        "gen", "node_modules", "web/node_modules",
    ]  # fmt: skip
    assert (root / "tree/web/node_modules/x/index.js").exists()
    assert not (root / "tree/a.py").exists()
    assert not (root / "tree.old").exists()


def test_a_detected_set_up_leaves_its_own_products_only(root):
    wanted = {"node_modules", "absent/node_modules"}
    assert keep_products(root / "tree", TRACKED, wanted) == ["node_modules"]


def test_a_folder_that_the_set_up_replaced_by_a_link_is_not_followed(root, tmp_path):
    (root / "tree/web/package.json").unlink()
    (root / "tree/web/node_modules/x/index.js").rename(tmp_path / "kept.js")
    for folder in ("web/node_modules/x", "web/node_modules", "web"):
        (root / "tree" / folder).rmdir()
    outside = tmp_path / "outside"
    (outside / "node_modules").mkdir(parents=True)
    (root / "tree/web").symlink_to(outside)
    keep_products(root / "tree", TRACKED, {"web/node_modules", "web"})
    assert (outside / "node_modules").is_dir()


def environment(root, *products: str) -> Environment:
    return Environment(root=root, products=products)


def provide(environment: Environment, checkout: Path, *, has_overlays: bool = False) -> None:
    layers = checkout.with_name("layers")
    provide_products(environment, checkout, layers, lambda _: has_overlays)


def test_a_checkout_gets_a_copy_that_it_may_change(root, tmp_path):
    (tmp_path / "c").mkdir()
    provide(environment(root, "node_modules"), tmp_path / "c")
    (tmp_path / "c/node_modules/y.js").write_text("changed")
    assert (root / "tree/node_modules/y.js").read_text() == "node_modules/y.js"


@pytest.mark.parametrize("how", ["a link", "a file", "absent"])
def test_a_product_is_placed_only_below_real_folders_of_the_checkout(root, tmp_path, how):
    checkout, outside = tmp_path / "c", tmp_path / "outside"
    checkout.mkdir()
    outside.mkdir()
    if how == "a link":
        (checkout / "web").symlink_to(outside)
    elif how == "a file":
        (checkout / "web").write_text("")
    provide(environment(root, "web/node_modules"), checkout)
    assert not list(outside.iterdir())


def test_what_the_change_has_itself_is_kept(root, tmp_path):
    (tmp_path / "c/node_modules").mkdir(parents=True)
    provide(environment(root, "node_modules"), tmp_path / "c")
    assert not list((tmp_path / "c/node_modules").iterdir())


def test_folders_become_overlays_and_everything_else_is_copied(root, tmp_path):
    checkout, layers = tmp_path / "c", tmp_path / "layers"
    (checkout / "web").mkdir(parents=True)
    (root / "tree/link").symlink_to("gen")
    products = ("gen/out.txt", "link", "node_modules", "web/node_modules")
    (checkout / "gen").mkdir()
    provide(environment(root, *products), checkout, has_overlays=True)
    assert (checkout / "gen/out.txt").read_text() == "gen/out.txt"
    assert (checkout / "link").is_symlink()
    shown = {(one.target, one.lower) for one in overlays_in(checkout, layers)}
    assert shown == {(checkout / name, root / "tree" / name) for name in products[2:]}
    assert not list((checkout / "web/node_modules").iterdir())
    assert all((one.layer / "work").is_dir() for one in overlays_in(checkout, layers))


def test_no_overlay_covers_what_the_change_has_itself(root, tmp_path):
    (tmp_path / "c/node_modules").mkdir(parents=True)
    provide(environment(root, "node_modules"), tmp_path / "c", has_overlays=True)
    assert overlays_in(tmp_path / "c", tmp_path / "layers") == ()


def test_a_product_that_is_lost_is_an_error(root, tmp_path):
    (tmp_path / "c").mkdir()
    with pytest.raises(EnvironmentFailed, match="cannot be copied"):
        provide(environment(root, "lost"), tmp_path / "c")


def test_editable_packages_are_found_by_their_place_in_the_tree(tmp_path):
    packages = tmp_path / "venv/lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    tree = tmp_path / "tree"
    (packages / "__editable__.a.pth").write_text(f"{tree}/src\nimport x\n{tmp_path}/elsewhere\n")
    (packages / "b.pth").write_text(f"{tree}\n")
    (packages / "__editable___c_finder.py").write_text(
        f"import sys\nMAPPING: dict[str, str] = {{'c': '{tree}/libs/c'}}\n"
    )
    (tmp_path / "secret").write_text(f"{tree}/secret\n")
    (packages / "z.pth").symlink_to(tmp_path / "secret")
    assert find_sources(tmp_path) == ["src", "libs", "."]


def test_a_name_is_a_pattern_for_itself_only():
    assert ignore_patterns(["a b/[x]*"]) == ("/a\\ b/\\[x\\]\\*",)
