"""The archives of container images, and what goes into them."""

import json
import os
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(FOLDER))

import archive
import images

MANIFESTS = FOLDER.parents[2] / "manifests"
VERSIONS = json.loads((MANIFESTS / "versions.json").read_text())


class Archive(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = Path(self.scratch.name)
        self.program = self.folder / "program"
        self.program.write_bytes(b"\x7fELF")

    def image(self, **fields):
        return archive.Image("registry.example/thing:v1", {"/usr/local/bin/thing": self.program}, **fields)

    def written(self, image, name="image.tar"):
        archive.write_archive(self.folder / name, image, "amd64")
        return self.enterContext(tarfile.open(self.folder / name))

    def blob(self, tar, digest):
        return tar.extractfile("blobs/sha256/" + digest.removeprefix("sha256:"))

    def manifest(self, tar):
        index = json.load(tar.extractfile("index.json"))
        return index["manifests"][0], json.load(self.blob(tar, index["manifests"][0]["digest"]))

    def test_the_same_content_gives_the_same_bytes_whenever_the_files_were_written(self):
        self.written(self.image(), "first.tar")
        os.utime(self.program, (1, 1))
        self.program.chmod(0o600)
        self.written(self.image(), "second.tar")
        self.assertEqual((self.folder / "first.tar").read_bytes(), (self.folder / "second.tar").read_bytes())

    def test_it_carries_its_reference_and_what_starts_in_it(self):
        tar = self.written(self.image(entrypoint=["/thing"], command=["serve"], user="65532"))
        descriptor, manifest = self.manifest(tar)
        self.assertEqual(descriptor["annotations"]["io.containerd.image.name"], "registry.example/thing:v1")
        config = json.load(self.blob(tar, manifest["config"]["digest"]))
        self.assertEqual(config["config"]["Entrypoint"], ["/thing"])
        self.assertEqual(config["config"]["Cmd"], ["serve"])
        self.assertEqual(config["config"]["User"], "65532")
        self.assertEqual(config["rootfs"]["diff_ids"], [manifest["layers"][0]["digest"]])

    def test_its_files_are_executable_belong_to_root_and_lie_in_folders_that_are_there(self):
        tar = self.written(self.image(links={"/sbin/other": "../usr/local/bin/thing"}))
        _, manifest = self.manifest(tar)
        layer = self.enterContext(tarfile.open(fileobj=self.blob(tar, manifest["layers"][0]["digest"])))
        entries = {entry.name: entry for entry in layer}
        program = entries["usr/local/bin/thing"]
        self.assertEqual((program.mode, program.uid, program.gid, program.mtime), (0o755, 0, 0, 0))
        self.assertEqual(entries["sbin/other"].linkname, "../usr/local/bin/thing")
        self.assertTrue(entries["usr/local"].isdir())
        self.assertEqual(entries["tmp"].mode, 0o1777)

    def test_a_path_that_is_not_absolute_is_refused_and_leaves_no_file(self):
        with self.assertRaisesRegex(ValueError, "not an absolute path"):
            archive.write_archive(self.folder / "x.tar", archive.Image("thing:1", {"bin/thing": self.program}), "amd64")
        self.assertEqual([path.name for path in self.folder.iterdir()], ["program"])


class Definitions(unittest.TestCase):
    def made(self, named):
        with tempfile.TemporaryDirectory() as folder:
            original = images.packet_filters
            images.packet_filters = lambda root: ({}, {})
            self.addCleanup(setattr, images, "packet_filters", original)
            return images.images(named, images.programs(MANIFESTS), Path(folder), Path(folder))

    def test_every_listed_image_is_made_under_its_name(self):
        named = images.references(MANIFESTS)
        self.assertEqual({name: image.reference for name, image in self.made(named).items()}, named)

    def test_a_listed_image_that_nothing_makes_is_an_error_with_its_name(self):
        with self.assertRaisesRegex(ValueError, "fluentd"):
            self.made(images.references(MANIFESTS) | {"fluentd": "registry.example/fluentd:1"})

    def test_the_image_of_an_add_on_is_what_its_folder_says(self):
        named = images.references(MANIFESTS)
        self.assertEqual(named["coredns"], json.loads((MANIFESTS / "addons/coredns/addon.json").read_text())["images"]["coredns"])
        coredns = self.made(named)["coredns"]
        self.assertEqual((list(coredns.files), coredns.entrypoint, coredns.user), (["/coredns"], ["/coredns"], "65532:65532"))

    def test_references_hold_the_versions(self):
        named = images.references(MANIFESTS)
        self.assertEqual(named["kube-apiserver"], f"registry.k8s.io/kube-apiserver:v{VERSIONS['kubernetes']}")
        self.assertNotIn("{", "".join(named.values()))


class Tree(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.root = Path(self.scratch.name)
        (self.root / "usr/bin").mkdir(parents=True)
        (self.root / "usr/bin/ip").write_text("ip")
        (self.root / "usr/sbin").mkdir()

    def test_an_absolute_link_stays_within_the_tree(self):
        (self.root / "usr/sbin/ip").symlink_to("/usr/bin/ip")
        self.assertEqual(images.inside(self.root, "/usr/sbin/ip"), self.root / "usr/bin/ip")

    def test_linked_folders_are_followed(self):
        (self.root / "bin").symlink_to("usr/bin")
        (self.root / "usr/sbin/ip").symlink_to("../../bin/ip")
        self.assertEqual(images.inside(self.root, "/usr/sbin/ip"), self.root / "usr/bin/ip")

    def test_a_link_that_climbs_out_ends_at_the_tree(self):
        (self.root / "usr/sbin/ip").symlink_to("../../../../../usr/bin/ip")
        self.assertEqual(images.inside(self.root, "/usr/sbin/ip"), self.root / "usr/bin/ip")

    def test_a_loop_of_links_is_an_error(self):
        (self.root / "a").symlink_to("b")
        (self.root / "b").symlink_to("a")
        with self.assertRaisesRegex(ValueError, "loop"):
            images.inside(self.root, "/a")


if __name__ == "__main__":
    unittest.main()
