"""A folder of checkpoints: each becomes visible in one step, and the newest that is whole counts.

A checkpoint is a manifest, ``step-000012000.json``, which names its files with their sizes and checksums. Files are
written under hidden names, flushed to the disk and renamed; the manifest comes last. What no manifest of the last two
checkpoints names is deleted. So a kill, a full disk or a power cut at any moment leaves the old checkpoint or the new.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sb3_ddpg_custom.atomic import remove_partials, replacing, sync_folder

FORMAT = "sb3-ddpg-custom training state"
VERSION = 1
_KEPT = 2
_MANIFEST = re.compile(r"step-(\d{9,})\.json")
_FILE = re.compile(r"[a-z]+-\d+\.zip")
_MOST_MANIFEST_BYTES = 8_000_000
_CHUNK_BYTES = 1 << 20


class StoreError(Exception):
    """A checkpoint cannot be used; the message names the file."""


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint is made of.

    :param step: env steps done
    :param files: per name its ``bytes`` and ``sha256``
    :param facts: plain data about it
    """

    step: int
    files: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any]


class CheckpointStore:
    """Checkpoints of one training.

    :param folder: theirs alone; made with the first
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def steps(self) -> list[int]:
        """List the steps that have a manifest, whole or not, newest first."""
        if not self.folder.is_dir():
            return []
        found = [_MANIFEST.fullmatch(path.name) for path in self.folder.iterdir()]
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def commit(
        self,
        step: int,
        new: Mapping[str, Callable[[BinaryIO], None]],
        old: Mapping[str, Mapping[str, Any]],
        facts: Mapping[str, Any],
    ) -> Manifest:
        """Write a checkpoint.

        :param step: env steps done
        :param new: per file name, such as ``state-12.zip``, what writes it
        :param old: entries of an earlier manifest whose files this checkpoint needs, too
        :param facts: plain data for the manifest
        :raises OSError: if the disk does not take it; then the last checkpoint is what it was
        """
        entries = dict(old)
        for name, write in new.items():
            with replacing(self.folder / name) as file:
                write(file)
                entries[name] = _entry(file)
        manifest = {"format": FORMAT, "version": VERSION, "step": step, "files": entries, "facts": facts}
        with replacing(self._path(step)) as file:
            file.write(json.dumps(manifest, indent=1).encode())
        self._remove_what_is_old(step)
        return Manifest(step, entries, facts)

    def newest(self) -> tuple[Manifest | None, list[str]]:
        """Find the newest checkpoint that is whole.

        :return: its manifest, None where there is none; and a sentence for each newer one that is damaged
        """
        problems: list[str] = []
        for step in self.steps():
            try:
                return self.read_manifest(step), problems
            except StoreError as error:
                problems.append(str(error))
        return None, problems

    def read_manifest(self, step: int) -> Manifest:
        """Read a manifest, and check every file that it names.

        :param step: one of :meth:`steps`
        :raises StoreError: if something is damaged or missing
        """
        path = self._path(step)
        manifest = _parsed(path)
        for name, entry in manifest.files.items():
            self._check(name, entry, path)
        return manifest

    def read(self, manifest: Manifest, name: str) -> bytes:
        """Read a file of a checkpoint.

        :param manifest: which names it
        :param name: the file's
        :raises StoreError: if it is not what the manifest says
        """
        entry = manifest.files[name]
        content = (self.folder / name).read_bytes() if (self.folder / name).is_file() else b""
        if len(content) != entry["bytes"] or hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise StoreError(f"{self.folder / name} is damaged: it is not what {self._path(manifest.step).name} says")
        return content

    def _check(self, name: str, entry: Mapping[str, Any], manifest: Path) -> None:
        path = self.folder / name
        if not path.is_file():
            raise StoreError(f"{path} is missing, which {manifest.name} needs")
        digest = hashlib.sha256()
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                while size == entry["bytes"] and (piece := file.read(_CHUNK_BYTES)):
                    digest.update(piece)
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
        if size != entry["bytes"] or digest.hexdigest() != entry["sha256"]:
            raise StoreError(f"{path} is damaged: it is not what {manifest.name} says")

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.json"

    def _remove_what_is_old(self, newest: int) -> None:
        # Never before the new one is there for good.
        sync_folder(self.folder)
        kept = [newest, *(step for step in self.steps() if step < newest)][:_KEPT]
        needed: set[str] = set()
        for step in kept:
            try:
                needed |= _parsed(self._path(step)).files.keys()
            except StoreError:
                continue
        for path in self.folder.iterdir():
            manifest = _MANIFEST.fullmatch(path.name)
            if (manifest and int(manifest[1]) not in kept) or (_FILE.fullmatch(path.name) and path.name not in needed):
                path.unlink(missing_ok=True)
        remove_partials(self.folder)


def _entry(file: BinaryIO) -> dict[str, Any]:
    file.flush()
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(_CHUNK_BYTES):
        digest.update(piece)
    return {"bytes": end, "sha256": digest.hexdigest()}


def _parsed(path: Path) -> Manifest:
    try:
        if not path.is_file():  # a pipe would be waited for
            raise StoreError(f"{path} is no file")
        with path.open("rb") as file:
            text = file.read(_MOST_MANIFEST_BYTES + 1)
        if len(text) > _MOST_MANIFEST_BYTES:
            raise StoreError(f"{path} is larger than any manifest")
        content: Any = json.loads(text)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: it is no JSON") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StoreError(f"{path} is no manifest of a training state")
    if content.get("version") != VERSION:
        raise StoreError(f"{path} has version {str(content.get('version'))[:20]}, and this release reads {VERSION}")
    step, files, facts = content.get("step"), content.get("files"), content.get("facts")
    if type(step) is not int or not isinstance(files, dict) or not isinstance(facts, dict):
        raise StoreError(f"{path} is damaged: it lacks its step, files or facts")
    for name, entry in files.items():
        # Names lead nowhere but into the folder.
        sound = isinstance(entry, dict) and type(entry.get("bytes")) is int and isinstance(entry.get("sha256"), str)
        if not _FILE.fullmatch(name) or not sound:
            raise StoreError(f"{path} is damaged: its entry {name[:40]!r} is none")
    return Manifest(step, files, facts)
