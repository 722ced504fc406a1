"""What packer/lock writes, and what the provisioning scripts make of it."""

import importlib.machinery
import importlib.util
import json
import subprocess
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

PACKER = Path(__file__).resolve().parent.parent
ADDONS = PACKER.parent / "manifests" / "addons"
VERSIONS = json.loads((ADDONS.parent / "versions.json").read_text())
DIGEST = "ab" * 32
OTHER = "cd" * 32


def load_lock():
    loader = importlib.machinery.SourceFileLoader("lock", str(PACKER / "lock"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("lock", loader))
    loader.exec_module(module)
    return module


lock = load_lock()


class Publisher(BaseHTTPRequestHandler):
    """A registry that wants a token, and a server of checksum files."""

    def do_GET(self):
        if self.path.startswith("/token?"):
            return self.answer(200, json.dumps({"token": "anonymous"}))
        if self.path == "/runc.sha256sum":
            return self.answer(200, f"{OTHER} *runc.arm64\n{DIGEST} *runc.amd64\n")
        return self.answer(404, "")

    def do_HEAD(self):
        if self.headers.get("Authorization") != "Bearer anonymous":
            realm = f"http://127.0.0.1:{self.server.server_port}/token"
            challenge = f'Bearer realm="{realm}",service="registry",scope="repository:team/thing:pull"'
            return self.answer(401, "", {"WWW-Authenticate": challenge})
        known = self.path == "/v2/team/thing/manifests/v1" and "image.index" in self.headers["Accept"]
        return self.answer(200, "", {"Docker-Content-Digest": f"sha256:{DIGEST}"}) if known else self.answer(404, "")

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


class OtherVersions(unittest.TestCase):
    def test_another_kubernetes_comes_to_those_that_are_locked_and_what_is_replaced_goes(self):
        line = lambda name, version, digest=DIGEST: lock.Line(name, version, "amd64", digest, f"https://example.com/{name}")
        old = [
            line("kubelet", "1.36.3"),
            line("kubelet", "1.34.4", OTHER),
            line("image/kube-apiserver", "v1.36.3"),
            line("runc", "1.4.2"),
        ]
        new = [line("kubelet", "1.34.4"), line("image/kube-apiserver", "v1.34.4"), line("runc", "1.4.3")]
        kept = lock.of_other_kubernetes({one.key: one for one in old}, new, "1.34.4")
        self.assertEqual([(one.name, one.version) for one in kept], [("kubelet", "1.36.3"), ("image/kube-apiserver", "v1.36.3")])


class Publishers(unittest.TestCase):
    def setUp(self):
        self.server = HTTPServer(("127.0.0.1", 0), Publisher)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_port}"

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()

    def test_an_image_is_locked_by_the_digest_of_its_registry_which_may_ask_for_an_anonymous_token(self):
        line = lock.image_line("thing", f"{self.address}/team/thing:v1", scheme="http")
        self.assertEqual((line.name, line.version, line.architecture, line.sha256), ("image/thing", "v1", "any", DIGEST))

    def test_an_image_that_the_registry_does_not_know_is_an_error_with_its_address(self):
        with self.assertRaisesRegex(lock.LockError, f"{self.address}/v2/team/thing/manifests/v2: 404"):
            lock.image_line("thing", f"{self.address}/team/thing:v2", scheme="http")

    def test_a_file_is_locked_by_its_own_line_in_the_checksums(self):
        base = f"http://{self.address}"
        line = lock.file_line(lock.Artifact("runc", "1", "amd64", f"{base}/runc.amd64", f"{base}/runc.sha256sum"))
        self.assertEqual(line.sha256, DIGEST)

    def test_a_publisher_that_does_not_answer_is_an_error_with_its_address(self):
        with self.assertRaisesRegex(lock.LockError, "127.0.0.1:1/x"):
            lock.fetch("http://127.0.0.1:1/x")


class Checksums(unittest.TestCase):
    def test_a_digest_alone_is_that_of_the_file(self):
        self.assertEqual(lock.published_digest(DIGEST, "https://example.com/kubelet"), DIGEST)

    def test_checksums_of_other_files_are_not_taken(self):
        with self.assertRaises(lock.LockError):
            lock.published_digest(f"{DIGEST}  kubelet.exe\nnot found\n", "https://example.com/kubelet")


# Files whose digest was not asked for yet, as the README says: a build on AWS names them, until packer/lock is run.
UNLOCKED = {"ecr-credential-provider"}


class CheckedIn(unittest.TestCase):
    def setUp(self):
        self.text = (PACKER / "artifacts.lock").read_text()
        self.lines = lock.parse(self.text)

    def test_it_is_what_packer_lock_would_write(self):
        self.assertEqual(lock.render(list(self.lines.values())), self.text)

    def test_it_has_every_file_of_the_image_at_its_own_address(self):
        wanted = {artifact.key: artifact.url for artifact in lock.files(VERSIONS)}
        locked = {key: line.url for key, line in self.lines.items() if not key[0].startswith("image/")}
        unlocked = {key for key in wanted if key not in locked}
        self.assertEqual(locked | {key: wanted[key] for key in unlocked}, wanted)
        self.assertEqual({name for name, _, _ in unlocked}, UNLOCKED)

    def test_its_digests_are_digests_and_none_is_there_twice(self):
        digests = [line.sha256 for line in self.lines.values()]
        for digest in digests:
            self.assertRegex(digest, "^[0-9a-f]{64}$")
        self.assertEqual(len(digests), len(set(digests)))

    def test_a_release_whose_digest_has_changed_upstream_is_found(self):
        line = next(iter(self.lines.values()))
        moved = lock.Line(line.name, line.version, line.architecture, DIGEST, line.url)
        self.assertEqual(lock.changed(self.lines, [line, moved]), [moved])


class Scripts(unittest.TestCase):
    def artifact(self, *arguments, **environment):
        command = f'. "{PACKER}/scripts/artifacts.sh"; artifact "$@"'
        return subprocess.run(
            ["bash", "-euc", command, "artifact", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={"PATH": "/usr/bin:/bin"} | environment,
        )

    def test_what_is_not_in_the_lock_is_refused_by_name_with_the_command_that_locks_it(self):
        result = self.artifact("kubelet", "9.9.9")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("kubelet 9.9.9", result.stderr)
        self.assertIn("run: packer/lock", result.stderr)

    def test_a_given_file_is_taken_only_with_the_digest_that_is_given_too(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "kubelet").write_bytes(b"kubelet")
            sums = subprocess.run(["sha256sum", "kubelet"], cwd=folder, capture_output=True, text=True, check=True).stdout
            Path(folder, "SHA256SUMS").write_text(sums)
            good = self.artifact("kubelet", "1", ARTIFACTS_DIR=folder)
            self.assertEqual((good.returncode, good.stdout), (0, f"{folder}/kubelet\n"))
            Path(folder, "kubelet").write_bytes(b"tampered")
            bad = self.artifact("kubelet", "1", ARTIFACTS_DIR=folder)
            self.assertEqual((bad.returncode, bad.stdout), (1, ""))
            self.assertIn("has the SHA-256", bad.stderr)
            unlisted = self.artifact("kubectl", "1", ARTIFACTS_DIR=folder)
            self.assertEqual((unlisted.returncode, unlisted.stdout), (1, ""))
            self.assertIn("doesn't list kubectl", unlisted.stderr)

    def test_a_download_is_taken_only_with_the_locked_digest(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (folder / "curl").write_text(
            '#!/bin/sh\nfor word; do [ "$last" != --output ] || echo tampered > "$word"; last=$word; done\n'
        )
        (folder / "curl").chmod(0o755)
        result = self.artifact("kubelet", VERSIONS["kubernetes"], PATH=f"{folder}:/usr/bin:/bin", TMPDIR=str(folder))
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("has the SHA-256", result.stderr)
        self.assertEqual(list(folder.glob("windlass-downloads/*")), [])

    def test_everything_without_a_known_digest_is_named_before_anything_is_downloaded(self):
        environment = {"PATH": "/usr/bin:/bin", "KUBERNETES_VERSION": "9.9.9"}
        result = subprocess.run(
            ["bash", PACKER / "scripts" / "15-artifacts.sh"], check=False, capture_output=True, text=True, env=environment
        )
        self.assertEqual(result.returncode, 1)
        for name in ("kubelet", "kubectl", "image/kube-apiserver", "image/kube-proxy"):
            self.assertRegex(result.stderr, f"{name} v?9.9.9 for .* is not in packer/artifacts.lock")
        self.assertNotIn("containerd", result.stderr)
        self.assertIn("run: packer/lock", result.stderr)

    def test_given_artifacts_need_no_lock(self):
        environment = {"PATH": "/usr/bin:/bin", "KUBERNETES_VERSION": "9.9.9", "ARTIFACTS_DIR": "/given"}
        result = subprocess.run(
            ["bash", PACKER / "scripts" / "15-artifacts.sh"], check=False, capture_output=True, text=True, env=environment
        )
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_the_scripts_expand_the_same_references_as_everybody_else(self):
        command = f'. "{PACKER}/scripts/versions.sh"; image_references'
        output = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, check=True).stdout
        self.assertEqual(dict(line.split() for line in output.splitlines()), lock.images(VERSIONS, ADDONS))

    def test_the_images_of_every_add_on_are_baked_and_locked(self):
        images = lock.images(VERSIONS, ADDONS)
        for addon in ADDONS.iterdir():
            for name, reference in json.loads((addon / "addon.json").read_text())["images"].items():
                self.assertEqual(images[name], reference)

    def test_another_kubernetes_than_the_listed_one_changes_its_images_and_no_others(self):
        command = f'. "{PACKER}/scripts/versions.sh"; image_references'
        environment = {"PATH": "/usr/bin:/bin", "KUBERNETES_VERSION": "1.36.9"}
        output = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, check=True, env=environment).stdout
        named = dict(line.split() for line in output.splitlines())
        self.assertEqual(named["kube-proxy"], "registry.k8s.io/kube-proxy:v1.36.9")
        self.assertEqual(named["etcd"], lock.images(VERSIONS, ADDONS)["etcd"])


if __name__ == "__main__":
    unittest.main()
