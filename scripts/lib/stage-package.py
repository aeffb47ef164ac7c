"""Lays out the Debian package as [package.metadata.deb] of congress-server describes it.

Usage: cargo metadata … | stage-package.py FOLDER BINARIES ARCHITECTURE

Understands the part of cargo-deb's table that is used here, and refuses what it does not know.
"""

import glob
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

KNOWN = {
    "name", "maintainer", "copyright", "license-file", "section", "priority", "depends",
    "suggests", "extended-description", "maintainer-scripts", "conf-files", "assets",
}  # fmt: skip


def main(folder: Path, binaries: Path, architecture: str) -> None:
    packages = json.load(sys.stdin)["packages"]
    package = next(p for p in packages if p["name"] == "congress-server")
    table = package["metadata"]["deb"]
    base = Path(package["manifest_path"]).parent
    if unknown := set(table) - KNOWN:
        sys.exit(f"stage-package: cannot handle {', '.join(sorted(unknown))}")

    shutil.rmtree(folder, ignore_errors=True)
    for source, destination, mode in table["assets"]:
        if source.startswith("target/release/"):
            pattern = binaries / source.removeprefix("target/release/")
        else:
            pattern = base / source
        sources = sorted(glob.glob(str(pattern)))
        if not sources:
            sys.exit(f"stage-package: there is no {pattern}")
        for source in sources:
            name = destination + (Path(source).name if destination.endswith("/") else "")
            install(Path(source), folder / name, int(mode, 8))
    licence = folder / "usr/share/doc" / table["name"] / "copyright"
    install(base / table["license-file"][0], licence, 0o644)

    control = folder / "DEBIAN"
    control.mkdir(mode=0o755)
    for script in ("preinst", "postinst", "prerm", "postrm"):
        source = base / table["maintainer-scripts"] / script
        if source.exists():
            install(source, control / script, 0o755)
    (control / "conffiles").write_text("".join(f"{file}\n" for file in table["conf-files"]))
    write_sums(folder, control / "md5sums")
    write_control(package, table, architecture, folder, control / "control")
    for file in ("conffiles", "md5sums", "control"):
        (control / file).chmod(0o644)


def install(source: Path, target: Path, mode: int) -> None:
    for parent in reversed(target.parents):
        if not parent.exists():
            parent.mkdir()
            parent.chmod(0o755)
    shutil.copyfile(source, target)
    target.chmod(mode)


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and "DEBIAN" not in p.parts)


def write_sums(folder: Path, path: Path) -> None:
    lines = []
    for file in files(folder):
        digest = hashlib.md5(file.read_bytes()).hexdigest()
        lines.append(f"{digest}  {file.relative_to(folder)}\n")
    path.write_text("".join(lines))


def write_control(package, table, architecture, folder: Path, path: Path) -> None:
    size = sum(os.path.getsize(file) for file in files(folder)) // 1024
    fields = {
        "Package": table["name"],
        "Version": package["version"],
        "Architecture": architecture,
        "Maintainer": table["maintainer"],
        "Installed-Size": str(size),
        "Depends": table["depends"],
        "Suggests": table["suggests"],
        "Section": table["section"],
        "Priority": table["priority"],
        "Homepage": package["repository"],
    }
    text = "".join(f"{name}: {value}\n" for name, value in fields.items())
    text += f"Description: {package['description']}\n"
    for line in table["extended-description"].splitlines():
        text += f" {line or '.'}\n"
    path.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
