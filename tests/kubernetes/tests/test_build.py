"""Where tests/kubernetes/build takes binaries from, and what it refuses. Nothing is built here, and no network is used."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent
VERSIONS = json.loads((FOLDER.parents[1] / "manifests" / "versions.json").read_text())
KUBERNETES = VERSIONS["kubernetes"]
# Answers every question whether the server is there, and gives every file the same wrong content.
FAKE_CURL = """#!/bin/sh
for argument; do
  case $previous in --output) [ "$argument" = /dev/null ] || echo tampered > "$argument" ;; esac
  previous=$argument
done
"""
# Builds a program that says that it is Kubernetes of the right version.
FAKE_GO = f"""#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" != -o ] || output=$2; shift; done
printf '#!/bin/sh\\necho Kubernetes v{KUBERNETES}\\n' > "$output"
/bin/chmod 755 "$output"
"""
TOOLS = "awk bash cat cut dirname env find flock grep head ln mkdir mktemp mv nproc realpath rm sed sha256sum sort tail touch uname xargs"


class Build(unittest.TestCase):
    def setUp(self):
        self.scratch = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.path = self.scratch / "path"
        self.path.mkdir()
        for tool in TOOLS.split():
            found = subprocess.run(["which", tool], capture_output=True, text=True, check=True).stdout.strip()
            (self.path / tool).symlink_to(found)
        # Not what PATH says: that may be a wrapper that needs more of PATH.
        (self.path / "python3").symlink_to(Path(sys.executable).resolve())

    def program(self, folder, name, content):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)

    def build(self, **environment):
        return subprocess.run(
            [FOLDER / "build"],
            check=False,
            capture_output=True,
            text=True,
            env={"PATH": str(self.path), "HOME": os.environ["HOME"], "WINDLASS_CACHE": str(self.scratch / "cache")} | environment,
        )

    def test_a_download_with_another_digest_than_the_locked_one_ends_it_and_is_not_kept(self):
        self.program(self.path, "curl", FAKE_CURL)
        result = self.build(WINDLASS_KUBERNETES_SOURCE="release")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("has not the digest that packer/artifacts.lock gives", result.stderr)
        self.assertEqual([path.name for path in self.scratch.glob("cache/kubernetes/*/bin/[!.]*")], [])

    def test_a_given_binary_of_another_version_is_refused_by_name(self):
        given = self.scratch / "given"
        for version in ("v1.35.0", f"v{KUBERNETES}0", f"v{KUBERNETES}-rc.1"):
            self.program(given, "kubelet", f"#!/bin/sh\necho Kubernetes {version}\n")
            result = self.build(KUBE_BIN_DIR=str(given))
            self.assertEqual((result.returncode, result.stdout), (1, ""), version)
            self.assertIn(f"{given}/kubelet should be v{KUBERNETES}, and says: Kubernetes {version}", result.stderr)

    def test_without_go_the_first_missing_binary_is_named_and_a_way_out(self):
        given = self.scratch / "given"
        self.program(given, "kubelet", f"#!/bin/sh\necho Kubernetes v{KUBERNETES}\n")
        result = self.build(KUBE_BIN_DIR=str(given), WINDLASS_KUBERNETES_SOURCE="build")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("go is not installed, and kube-apiserver has to be built", result.stderr)
        self.assertIn("hint: install Go", result.stderr)

    def test_a_folder_that_is_not_there_is_refused(self):
        result = self.build(KUBE_BIN_DIR="/nowhere")
        self.assertEqual(result.returncode, 1)
        self.assertIn("KUBE_BIN_DIR is /nowhere, which is no folder", result.stderr)

    def test_what_is_all_there_is_used_without_a_look_at_the_network_or_go(self):
        given = self.scratch / "given"
        names = [line.split()[0] for line in self.table()]
        for name in names:
            self.program(given, name, f"#!/bin/sh\necho '{self.version_line(name)}'\n")
        result = self.build(KUBE_BIN_DIR=str(given))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        folder = Path(result.stdout.strip())
        self.assertEqual(sorted(path.name for path in folder.iterdir()), sorted(names))
        self.assertEqual((folder / "kubelet").resolve(), given / "kubelet")

    def test_what_an_earlier_build_of_the_same_module_gave_is_not_built_again(self):
        first, second = self.scratch / "first", self.scratch / "second"
        for name in [line.split()[0] for line in self.table()]:
            if name != "kube-proxy":
                for given in (first, second):
                    self.program(given, name, f"#!/bin/sh\necho '{self.version_line(name)}'\n")
        self.program(self.path, "go", FAKE_GO)
        built = self.build(KUBE_BIN_DIR=str(first), WINDLASS_KUBERNETES_SOURCE="build")
        self.assertEqual((built.returncode, built.stderr), (0, "tests/kubernetes: building kube-proxy\n"))
        (self.path / "go").unlink()
        again = self.build(KUBE_BIN_DIR=str(second), WINDLASS_KUBERNETES_SOURCE="build")
        self.assertEqual((again.returncode, again.stderr), (0, ""))
        self.assertNotEqual(built.stdout, again.stdout)
        self.assertTrue((Path(again.stdout.strip()) / "kube-proxy").samefile(Path(built.stdout.strip()) / "kube-proxy"))

    def test_the_programs_of_add_ons_are_asked_for_the_versions_of_their_images(self):
        programs = {line[0]: line for line in self.addon_programs()}
        images = json.loads((FOLDER.parents[1] / "manifests/addons/flannel/addon.json").read_text())["images"]
        version = images["flannel"].rpartition(":")[2]
        self.assertEqual(programs["flanneld"][:5], ["flanneld", "flannel", "github.com/flannel-io/flannel", "--version", version])
        self.assertIn(f"github.com/flannel-io/flannel/pkg/version.Version={version}", programs["flanneld"])
        self.assertEqual(len(programs["coredns"]), 5, "nothing stamps it")

    def version_line(self, name):
        own = {line[0]: line[4] for line in self.addon_programs()}
        if name.startswith("kube"):
            return f"Kubernetes v{KUBERNETES}"
        if name.startswith("etcd"):
            return f"{name} version: {VERSIONS['etcd']}"
        return own.get(name, f"CNI {name} plugin v{VERSIONS['cni']}")

    def table(self):
        text = (FOLDER / "build").read_text().split('binaries="\n')[1].split('"\n')[0]
        return [line for line in text.splitlines() if line] + [line[0] for line in self.addon_programs()]

    def addon_programs(self):
        folder = FOLDER.parents[1] / "manifests" / "addons"
        printed = subprocess.run([FOLDER / "addon-programs", folder], check=True, capture_output=True, text=True).stdout
        return [line.split() for line in printed.splitlines()]


if __name__ == "__main__":
    unittest.main()
