#!/usr/bin/env python3
"""labels.py CORE FULL: the rustdoc pages of a crate without features and with all of them, as docs.rs builds them.
Whatever only the second has must be labelled with the feature that it needs."""

import pathlib
import re
import sys

LABEL = 'class="stab portability"'
core, full = (pathlib.Path(path) for path in sys.argv[1:])


def parts(path):
    """The head of a page, and its methods, variants and trait implementations by their ids."""
    text = path.read_text() if path.exists() else ""
    text = text.split('id="synthetic-implementations"')[0]
    pieces = re.split(r'<section id="((?:method|tymethod|variant|associatedtype)\.[^"]+|impl-[^"]+-for-[^"]+)"', text)
    return {"page": pieces[0], **dict(zip(pieces[1::2], pieces[2::2]))} if text else {}


count, missing = 0, []
for path in sorted(full.rglob("*.html")):
    page = path.relative_to(full)
    # Private modules have pages that lead to where their items are exported.
    if "http-equiv" in path.read_text() or not re.match(r"(struct|enum|trait|fn|attr|constant)\.", path.name):
        continue
    without, with_all = parts(core / page), parts(path)
    if not without:
        count += 1
        # A label on the page or on the module holds for all that it has.
        module = path.parent / "index.html"
        if LABEL not in with_all["page"] and LABEL not in module.read_text().split("<h2")[0]:
            missing.append(str(page))
        continue
    for name in with_all.keys() - without.keys():
        count += 1
        if LABEL not in with_all[name].split('class="docblock"')[0]:
            missing.append(f"{page}: {name}")
for each in sorted(missing):
    print(f"no label: {each}")
assert count > 20, count
print(f"{count} items need a feature, {len(missing)} of them have no label")
sys.exit(bool(missing))
