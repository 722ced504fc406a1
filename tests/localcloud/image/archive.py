"""Writes a container image as an OCI archive, without a daemon.

The same content gives the same bytes: names are sorted, times are zero, everything belongs to root.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Image:
    """What an image holds and how it starts."""

    reference: str
    files: Mapping[str, Path]
    """Absolute path in the image -> file on this machine; a link is followed, and every file is executable."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Absolute path in the image -> target of the symbolic link."""
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""


def write_archive(output: Path, image: Image, architecture: str) -> None:
    """Writes `image` to `output`; a half-written file never has that name.

    Raises OSError when a file can't be read or written.
    """
    layer = output.with_name(f".{output.name}.layer")
    partial = output.with_name(f".{output.name}.partial")
    try:
        with layer.open("w+b") as content:
            _write_layer(content, image)
        with partial.open("wb") as archive:
            _write_index(archive, layer, image, architecture)
        partial.rename(output)
    finally:
        layer.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def _write_layer(output: BinaryIO, image: Image) -> None:
    names = set(image.files) | set(image.links)
    for name in names:
        if not PurePosixPath(name).is_absolute():
            raise ValueError(f"{name} in {image.reference} is not an absolute path")
    with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder in sorted(_folders(names)):
            tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o1777 if folder == "/tmp" else 0o755))
        for name in sorted(names):
            if name in image.links:
                entry = _entry(name, tarfile.SYMTYPE, 0o777)
                entry.linkname = image.links[name]
                tar.addfile(entry)
                continue
            with image.files[name].open("rb") as content:
                entry = _entry(name, tarfile.REGTYPE, 0o755)
                entry.size = os.fstat(content.fileno()).st_size
                tar.addfile(entry, content)


def _folders(names: set[str]) -> set[str]:
    # Programs expect the first two; the kubelet mounts into them too.
    folders = {"/etc", "/tmp"}
    for name in names:
        folders.update(str(parent) for parent in PurePosixPath(name).parents)
    return folders - {"/"}


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name.lstrip("/"))
    entry.type = kind
    entry.mode = mode
    return entry


def _write_index(output: BinaryIO, layer: Path, image: Image, architecture: str) -> None:
    layer_digest = _digest_of(layer)
    config = _json(_config(image, architecture, layer_digest))
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [{"mediaType": LAYER, "digest": f"sha256:{layer_digest}", "size": layer.stat().st_size}],
        }
    )
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            _descriptor(MANIFEST, manifest)
            | {
                "annotations": {"io.containerd.image.name": image.reference},
                "platform": {"architecture": architecture, "os": "linux"},
            }
        ],
    }
    with tarfile.open(fileobj=output, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _json(index))
        for content in (config, manifest):
            _add(tar, f"blobs/sha256/{hashlib.sha256(content).hexdigest()}", content)
        with layer.open("rb") as content:
            entry = tarfile.TarInfo(f"blobs/sha256/{layer_digest}")
            entry.size = layer.stat().st_size
            tar.addfile(entry, content)


def _config(image: Image, architecture: str, layer_digest: str) -> dict:
    start: dict = {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}
    if image.entrypoint:
        start["Entrypoint"] = list(image.entrypoint)
    if image.command:
        start["Cmd"] = list(image.command)
    if image.user:
        start["User"] = image.user
    return {
        "architecture": architecture,
        "os": "linux",
        "config": start,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
    }


def _descriptor(media_type: str, content: bytes) -> dict:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


def _digest_of(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
