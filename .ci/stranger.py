#!/usr/bin/env python3
"""stranger.py STRANGER CORE: creates two packages from the README. One has its dependencies, and its Rust examples as
tests. The other has the library without features, the first example and the one without rstest."""

import pathlib
import re
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
# The tests that must work without features: one with the attribute, and a program.
CORE = ["fn brand_names_survive_the_cache(", "TestRequest::clean()"]

PACKAGE = """[package]
name = "{name}"
version = "0.1.0"
edition = "2024"

[workspace]

{dependencies}
[patch.crates-io]
transient-fixtures = {{ path = "{root}" }}
transient-fixtures-macros = {{ path = "{root}/macros" }}
"""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def package(place, name, dependencies, tests):
    (place / "src").mkdir(parents=True)
    (place / "src/lib.rs").touch()
    (place / "tests").mkdir()
    (place / "Cargo.toml").write_text(PACKAGE.format(name=name, dependencies=dependencies, root=ROOT))
    shutil.copy(ROOT / "Cargo.lock", place)
    for number, test in enumerate(tests, 1):
        # A program in the README becomes a test here.
        (place / f"tests/block{number}.rs").write_text(test.replace("fn main()", "#[test]\nfn main()"))


def main():
    dependencies, rust = "".join(blocks("toml")), blocks("rust")
    package(pathlib.Path(sys.argv[1]), "stranger", dependencies, rust)
    without, changed = re.subn(
        r'^transient-fixtures = ("[^"]*")', r"transient-fixtures = { version = \1, default-features = false }", dependencies, flags=re.M
    )
    assert changed == 1, dependencies
    without = without.replace(', features = ["tokio-comp"]', "")
    tests = [next(block for block in rust if words in block) for words in CORE]
    package(pathlib.Path(sys.argv[2]), "without-features", without, tests)


main()
