"""Archives whose bytes depend on their content alone: sorted members, one time, no owner.

    archive.py tar OUT.tar.gz FOLDER       the folder and all in it, under the folder's own name
    archive.py wheel OUT.whl FOLDER        a wheel of what is in the folder; its RECORD is written first
    archive.py sums FOLDER                 SHA256SUMS of the files that lie in the folder, written into it

The time of all members is SOURCE_DATE_EPOCH, in seconds since 1970. COMPRESSION is the level, 1 to 9 (9).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import sys
import tarfile
import time
import zipfile
from pathlib import Path

EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
LEVEL = int(os.environ.get("COMPRESSION", "9"))


def is_program(path: Path) -> bool:
    return bool(path.lstat().st_mode & 0o100)


def members(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix())


def tar(out: Path, folder: Path) -> None:
    with (
        open(out, "wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=EPOCH, compresslevel=LEVEL) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in [folder, *members(folder)]:
            info = archive.gettarinfo(path, arcname=path.relative_to(folder.parent).as_posix())
            if info.islnk():  # The second name of a file: a copy is the same for whoever unpacks it.
                info.type, info.linkname, info.size = tarfile.REGTYPE, "", path.stat().st_size
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = EPOCH
            info.mode = 0o755 if info.isdir() or info.issym() or is_program(path) else 0o644
            if info.isreg():
                with open(path, "rb") as content:
                    archive.addfile(info, content)
            else:
                archive.addfile(info)


def record(folder: Path) -> None:
    """RECORD of the wheel: every file with its hash and size (PyPA, "Recording installed projects")."""
    (info,) = folder.glob("*.dist-info")
    lines = []
    for path in members(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and path != info / "RECORD":
            content = path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(content)}\n")
    lines.append(f"{info.name}/RECORD,,\n")
    (info / "RECORD").write_text("".join(lines))


def wheel(out: Path, folder: Path) -> None:
    record(folder)
    files = [path for path in members(folder) if path.is_file()]
    # The metadata of the wheel comes last, so that it can be replaced without moving the rest.
    files.sort(key=lambda path: path.relative_to(folder).parts[0].endswith(".dist-info"))
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for path in files:
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), time.gmtime(EPOCH)[:6])
            info.create_system = 3  # Unix: the mode below counts.
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o100755 if is_program(path) else 0o100644) << 16
            archive.writestr(info, path.read_bytes(), compresslevel=LEVEL)


def sums(folder: Path) -> None:
    lines = []
    for path in members(folder):
        if path.is_file() and path.name != "SHA256SUMS":
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    (folder / "SHA256SUMS").write_text("".join(lines))


def main(arguments: list[str]) -> int:
    match arguments:
        case ["tar", out, folder]:
            tar(Path(out), Path(folder))
        case ["wheel", out, folder]:
            wheel(Path(out), Path(folder))
        case ["sums", folder]:
            sums(Path(folder))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
