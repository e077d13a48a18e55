#!/usr/bin/env python3
"""stranger.py FRESH DOCUMENTED: creates two packages from the documentation.

FRESH is a new crate. The README's first chapter is applied to it in order, up to the first passing test: blocks marked
`<!-- ci: add -->` and `<!-- ci: run -->` are executed, and blocks marked `<!-- ci: first-test PATH -->` are written to
that path. The number of commands is printed. DOCUMENTED has the default features and, as tests, all Rust code of the
README and of docs/."""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
STEPS = re.compile(r"<!-- ci: (add|first-test|run)(?: (\S+))? -->\n```\w+\n(.*?)```", re.S)

# Not yet published, so that the crate is found here. `cargo add` keeps the place of a dependency that is there already.
UNPUBLISHED = '\ntransient-fixtures = {{ path = "{root}" }}\n'


def execute(command, place):
    print(f"$ {command}", flush=True)
    subprocess.run(shlex.split(command), cwd=place, check=True)


def package(place, name, dependencies):
    (place / "src").mkdir(parents=True)
    (place / "src/lib.rs").touch()
    (place / "tests").mkdir()
    (place / "Cargo.toml").write_text(
        f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\n\n[workspace]\n\n[dev-dependencies]{dependencies}'
    )
    # The versions that are built already.
    shutil.copy(ROOT / "Cargo.lock", place)


def fresh(place):
    package(place, "fresh", UNPUBLISHED.format(root=ROOT))
    commands = 0
    for kind, path, block in STEPS.findall(README):
        if kind == "first-test":
            (place / path).write_text(block)
            continue
        for command in block.splitlines():
            execute(command, place)
            commands += 1
    print(f"commands to the first green test: {commands}")
    assert commands == 2, commands


def documented(place):
    package(place, "documented", UNPUBLISHED.format(root=ROOT) + 'redis = "1.8"\nrstest = "0.28"\n')
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    tests = []
    for page in pages:
        for number, block in enumerate(re.findall(r"^```rust\n(.*?)^```", page.read_text(), re.S | re.M), 1):
            module = f"{page.stem.lower().replace('-', '_')}_{number}"
            tests.append(f"#[allow(dead_code)]\nmod {module} {{\n{block}}}\n")
    (place / "tests/documented.rs").write_text("\n".join(tests))


fresh(pathlib.Path(sys.argv[1]))
documented(pathlib.Path(sys.argv[2]))
