#!/usr/bin/env python3
"""Makes the container images of the local cloud from the binaries that tests/kubernetes/build gives.

They carry the names that windlass uses on AWS (manifests/versions.json, and the add-ons' addon.json), and hold each
program at the path, with the entry point and for the user that the published image has, so that the same manifests run
both. For the images of add-ons that stands in their from-source.json; see tests/kubernetes/addon-programs.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from archive import Image, write_archive

# Programs that kube-proxy and flannel call; the names are links to one program.
PACKET_FILTERS = ("/usr/sbin/nft", "/usr/sbin/xtables-nft-multi", "/usr/sbin/conntrack", "/usr/sbin/ip")
IPTABLES_NAMES = tuple(
    f"{family}{action}" for family in ("iptables", "ip6tables") for action in ("", "-save", "-restore")
)


def references(manifests: Path) -> dict[str, str]:
    """The full reference of every image by its name, from the folder of manifests."""
    versions = json.loads((manifests / "versions.json").read_text())
    templates = versions["images"] | versions["testImages"]
    named = {
        name: re.sub(r"\{([a-z]+)\}", lambda match: versions[match[1]], template)
        for name, template in templates.items()
    }
    for addon in sorted(manifests.glob("addons/*/addon.json")):
        named |= json.loads(addon.read_text())["images"]
    return named


def programs(manifests: Path) -> dict[str, dict]:
    """How the images of add-ons are made, by their names."""
    found: dict[str, dict] = {}
    for described in sorted(manifests.glob("addons/*/from-source.json")):
        found |= json.loads(described.read_text())
    return found


def images(named: dict[str, str], programs: dict[str, dict], binaries: Path, root: Path) -> dict[str, Image]:
    """Every image by its name; `root` is the Debian tree that programs besides the binaries are taken from."""
    def binary(name: str, folder: str = "/usr/local/bin") -> dict[str, Path]:
        return {f"{folder}/{name}": binaries / name}

    filters, links = packet_filters(root)
    made = {
        name: Image(named[name], binary(name))
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    }
    made["kube-proxy"] = Image(named["kube-proxy"], binary("kube-proxy") | filters, links)
    made["etcd"] = Image(named["etcd"], binary("etcd") | binary("etcdctl") | binary("etcdutl"))
    made["pause"] = Image(named["pause"], binary("pause", ""), entrypoint=["/pause"], user="65535:65535")
    made["agnhost"] = Image(named["agnhost"], binary("agnhost", ""), entrypoint=["/agnhost"], command=["pause"])
    for name, program in programs.items():
        path = program["path"]
        files = {path: binaries / Path(path).name}
        besides = (filters, links) if program.get("packetFilters") else ({}, {})
        made[name] = Image(
            named[name], files | besides[0], besides[1], entrypoint=[path], user=program.get("user", "")
        )
    missing = set(named) - set(made)
    if missing:
        raise ValueError(f"manifests/ lists images that nothing here makes: {', '.join(sorted(missing))}")
    return made


def packet_filters(root: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """nft, iptables and ip of the Debian tree: its files with all that they load, and the links between them."""
    files: dict[str, Path] = {}
    for program in PACKET_FILTERS:
        files[program] = inside(root, program)
        for library in loaded_by(root, program):
            files[library] = inside(root, library)
    for extension in sorted(root.glob("usr/lib/*/xtables/*.so")):
        files[f"/{extension.relative_to(root)}"] = inside(root, f"/{extension.relative_to(root)}")
    links = {f"/usr/sbin/{name}": "xtables-nft-multi" for name in IPTABLES_NAMES}
    # Since Debian merged them these are links there too; the loader's path below /lib64 is written into every program.
    links |= {"/lib": "usr/lib", "/lib64": "usr/lib64", "/sbin": "usr/sbin", "/bin": "usr/bin"}
    return merged(files), links


def merged(files: dict[str, Path]) -> dict[str, Path]:
    """The same files with /lib, /lib64 and so on written as what they are links to."""
    return {re.sub(r"^/(lib|lib64|sbin|bin)/", r"/usr/\1/", name): path for name, path in files.items()}


def loaded_by(root: Path, program: str) -> list[str]:
    """The libraries that the tree's own loader finds for `program`."""
    listing = subprocess.run(
        ["chroot", str(root), "ldd", program], check=True, capture_output=True, text=True
    ).stdout
    missing = re.findall(r"(\S+) => not found", listing)
    if missing:
        raise ValueError(f"{program} needs {', '.join(missing)}, which the image's base doesn't hold")
    return re.findall(r"(?:=> |^\s+)(/\S+) \(0x", listing, flags=re.MULTILINE)


def inside(root: Path, name: str) -> Path:
    """The file that `name` means within the tree, whose absolute links start at the tree."""
    path = name
    for _ in range(40):
        resolved = _next_link(root, path)
        if resolved is None:
            return root / path.lstrip("/")
        path = resolved
    raise ValueError(f"{name} in {root} is a loop of links")


def _next_link(root: Path, name: str) -> str | None:
    """`name` with its first link followed, or None when it has none."""
    walked = Path("/")
    parts = Path(name).parts[1:]
    for index, part in enumerate(parts):
        candidate = walked / part
        here = root / str(candidate).lstrip("/")
        if here.is_symlink():
            rest = Path(*parts[index + 1 :]) if parts[index + 1 :] else Path()
            target = Path(here.readlink())
            joined = (target if target.is_absolute() else walked / target) / rest
            return "/" + str(Path(*_without_dots(joined.parts[1:])))
        walked = candidate
    return None


def _without_dots(parts: tuple[str, ...]) -> list[str]:
    kept: list[str] = []
    for part in parts:
        if part == "..":
            kept = kept[:-1]
        elif part != ".":
            kept.append(part)
    return kept


def main() -> None:
    """Writes `<name>.tar` for every image into the given folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifests", type=Path, required=True, help="the folder with versions.json and addons/")
    parser.add_argument("--binaries", type=Path, required=True, help="the folder of tests/kubernetes/build")
    parser.add_argument("--root", type=Path, required=True, help="a Debian tree")
    parser.add_argument("--architecture", required=True, help="amd64 or arm64")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    named, addons = references(arguments.manifests), programs(arguments.manifests)
    for name, image in images(named, addons, arguments.binaries, arguments.root).items():
        write_archive(arguments.output / f"{name}.tar", image, arguments.architecture)
        print(f"image: {image.reference}", file=sys.stderr)


if __name__ == "__main__":
    main()
