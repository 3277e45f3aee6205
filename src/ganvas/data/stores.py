"""Where image files lie: a folder, or a zip archive that is read in place. Nothing is ever written or extracted.

Only regular files are opened: a fifo, socket or device is named and left alone. Hidden files, and what operating systems leave behind,
are not mentioned at all.
"""

import errno
import os
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import final

from ganvas.data.decode import Unusable, check_head
from ganvas.data.examples import Rejected
from ganvas.errors import GanvasError

MOST_BYTES = 256 * 1024**2
"""The largest file read: an uncompressed image of 89 million pixels in RGB."""

_IGNORED = ("__macosx", "thumbs.db", "desktop.ini")
_KINDS = (
    (stat.S_ISFIFO, "a fifo"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a symbolic link"),
)


@dataclass(frozen=True)
class Entry:
    """A regular file: path below the source with "/" between folders, bytes, and time of the last change in nanoseconds."""

    name: str
    size: int
    mtime_ns: int


class Gone(Exception):
    """A file could not be read now, though another time it may: it has vanished, or access is denied. The message is the reason."""


class Store(ABC):
    """A tree of files."""

    @abstractmethod
    def entries(self) -> tuple[list[Entry], list[Rejected]]:
        """Every file that may be opened, sorted by name, and whatever else lies there with the reason why it is left alone."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The bytes of an image file. Raises `Unusable` (too large, no image by its first bytes, damaged archive) or `Gone`."""

    @abstractmethod
    def read_text(self, name: str) -> str:
        """A table that lies beside the images, in UTF-8. Raises `Gone` (also if it is too large or damaged) or `UnicodeDecodeError`."""


def _ignored(name: str) -> bool:
    return name.startswith(".") or name.lower() in _IGNORED


def _irregular(mode: int) -> str:
    kind = next((name for test, name in _KINDS if test(mode)), "no regular file")
    return f"is {kind}, which is never opened"


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise Unusable(f"has {size:,} bytes, more than {MOST_BYTES:,}")


def _reason(error: OSError) -> str:
    return f"cannot be read ({(error.strerror or str(error)).lower()})"


@final
class Folder(Store):
    """A folder with its subfolders. Links are followed, but no folder is read twice, so a loop of links ends."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def entries(self) -> tuple[list[Entry], list[Rejected]]:
        found: list[Entry] = []
        rejected: list[Rejected] = []
        # Folders that are links wait until all real ones are read: a loop then meets folders that are known, and real paths win.
        real, linked = deque([""]), deque[str]()
        seen: set[tuple[int, int]] = set()
        while real or linked:
            folder = real.popleft() if real else linked.popleft()
            try:
                status = os.stat(self._path(folder))
                if (status.st_dev, status.st_ino) in seen:
                    rejected.append(Rejected(folder, "is a link to a folder that is read already"))
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(self._path(folder)) as listing:
                    items = sorted(listing, key=lambda item: item.name)
            except OSError as error:
                rejected.append(Rejected(folder or ".", _reason(error)))
                continue
            for item in items:
                if not _ignored(item.name):
                    self._sort(item, f"{folder}/{item.name}" if folder else item.name, found, rejected, real, linked)
        return sorted(found, key=lambda entry: entry.name), sorted(rejected, key=lambda one: one.path)

    def _sort(
        self,
        item: os.DirEntry[str],
        name: str,
        found: list[Entry],
        rejected: list[Rejected],
        real: deque[str],
        linked: deque[str],
    ) -> None:
        try:
            status = item.stat()
        except OSError as error:
            loop = error.errno == errno.ELOOP
            reason = "is a link that leads to itself" if loop else "is a broken link" if item.is_symlink() else _reason(error)
            rejected.append(Rejected(name, reason))
            return
        if stat.S_ISDIR(status.st_mode):
            (linked if item.is_symlink() else real).append(name)
        elif stat.S_ISREG(status.st_mode):
            found.append(Entry(name, status.st_size, status.st_mtime_ns))
        else:
            rejected.append(Rejected(name, _irregular(status.st_mode)))

    def _path(self, name: str) -> str:
        return os.path.join(self._root, *name.split("/")) if name else str(self._root)

    def read(self, name: str) -> bytes:
        return read_file(self._path(name))

    def read_text(self, name: str) -> str:
        try:
            return _text(read_file(self._path(name), image=False))
        except Unusable as error:
            raise Gone(str(error)) from None


def read_file(path: str, *, image: bool = True) -> bytes:
    """The bytes of a regular file, not too large, and an `image` by its first bytes. Raises `Unusable` or `Gone`."""
    try:
        # Should a fifo have taken the file's place, O_NONBLOCK keeps `open` from waiting for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Unusable(_irregular(status.st_mode))
            _check_size(status.st_size)
            head = file.read(64)
            if image:
                check_head(head)
            return head + file.read(status.st_size)
    except OSError as error:
        raise Gone(_reason(error)) from None


def _text(data: bytes) -> str:
    return data.decode("utf-8-sig")


@final
class Archive(Store):
    """A zip archive. Members are inflated one at a time in memory, never beyond their declared size, and that is bounded."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise GanvasError(f"'{path}' is not a whole zip archive ({error}): get the file again, or pass a folder") from None
        except OSError as error:
            raise GanvasError(f"'{path}' {_reason(error)}") from None
        self._members: dict[str, zipfile.ZipInfo] = {}

    def entries(self) -> tuple[list[Entry], list[Rejected]]:
        rejected: list[Rejected] = []
        mtime_ns = os.stat(self._path).st_mtime_ns
        self._members = {}
        for member in self._zip.infolist():
            name = member.filename
            if name.endswith("/") or any(part != ".." and _ignored(part) for part in _parts(name)):
                continue
            reason = _suspicious(member)
            if not reason and name in self._members:
                reason = "is in the archive twice: the first is used"
            if reason:
                rejected.append(Rejected(name, reason))
            else:
                self._members[name] = member
        found = [Entry(name, self._members[name].file_size, mtime_ns) for name in sorted(self._members)]
        return found, sorted(rejected, key=lambda one: one.path)

    def read(self, name: str) -> bytes:
        return self._read(name, image=True)

    def read_text(self, name: str) -> str:
        try:
            return _text(self._read(name, image=False))
        except Unusable as error:
            raise Gone(str(error)) from None

    def _read(self, name: str, *, image: bool) -> bytes:
        try:
            with self._zip.open(self._members[name]) as file:
                head = file.read(64)
                if image:
                    check_head(head)
                return head + file.read(MOST_BYTES)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError) as error:
            raise Unusable(f"cannot be unpacked ({' '.join(str(error).split())[:120]})") from None
        except OSError as error:
            raise Gone(_reason(error)) from None


def _parts(name: str) -> list[str]:
    return name.replace("\\", "/").split("/")


def _suspicious(member: zipfile.ZipInfo) -> str:
    """Why a member is not read, or ""; its name is never used as a path, but a name that leads elsewhere shows what it was made for."""
    parts = _parts(member.filename)
    mode = member.external_attr >> 16
    if ".." in parts or parts[0] == "" or parts[0].endswith(":"):
        return "has a path that leads out of the archive"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return _irregular(mode)
    if member.flag_bits & 1:
        return "is encrypted"
    if member.file_size > MOST_BYTES:
        return f"inflates to {member.file_size:,} bytes, more than {MOST_BYTES:,}"
    return ""
