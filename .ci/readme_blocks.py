"""Makes a test of each block of Rust in the README, in that directory."""

import pathlib
import re
import sys

blocks = re.findall(r"```rust\n(.*?)```", pathlib.Path("README.md").read_text(), re.S)
for number, block in enumerate(blocks, 1):
    # What is a program in the README is a test here.
    block = block.replace("fn main()", "#[test]\nfn main()")
    pathlib.Path(sys.argv[1], f"block{number}.rs").write_text(block)
