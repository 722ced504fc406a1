build {
  name    = "windlass"
  sources = ["source.amazon-ebs.node"]

  # What the scripts read, at the same paths relative to each other as in the repository.
  provisioner "shell" {
    inline = ["mkdir -p /tmp/windlass/packer /tmp/windlass/bootstrap"]
  }

  provisioner "file" {
    source      = "${path.root}/"
    destination = "/tmp/windlass/packer"
  }

  provisioner "file" {
    source      = "${path.root}/../manifests"
    destination = "/tmp/windlass"
  }

  provisioner "file" {
    source      = "${path.root}/../bootstrap/rc.local"
    destination = "/tmp/windlass/bootstrap/rc.local"
  }

  provisioner "file" {
    source      = "${path.root}/../bootstrap/systemd"
    destination = "/tmp/windlass/bootstrap"
  }

  provisioner "file" {
    source      = var.agent_binary
    destination = "/tmp/windlass/windlass-bootstrap"
  }

  # By their paths, not as uploaded copies: they read the files beside them.
  provisioner "shell" {
    execute_command = "sudo env {{ .Vars }} bash -euo pipefail '{{ .Path }}'"
    environment_vars = [
      "DEBIAN_FRONTEND=noninteractive",
      "KUBERNETES_VERSION=${local.kubernetes_version}",
      "CONTAINERD_SOURCE=${var.containerd_source}",
      "AGENT_VERSION=${local.agent_version}",
    ]
    inline = [
      "cloud-init status --wait || true",
      "bash /tmp/windlass/packer/scripts/10-base.sh",
      "bash /tmp/windlass/packer/scripts/15-artifacts.sh",
      "bash /tmp/windlass/packer/scripts/20-containerd.sh",
      "bash /tmp/windlass/packer/scripts/30-kubernetes.sh",
      "bash /tmp/windlass/packer/scripts/40-images.sh",
      "bash /tmp/windlass/packer/scripts/60-agent.sh",
      "bash /tmp/windlass/packer/scripts/70-release.sh",
      "bash /tmp/windlass/packer/scripts/80-cleanup.sh",
      "bash /tmp/windlass/packer/scripts/90-validate.sh",
      "rm -rf /tmp/windlass",
    ]
  }

  post-processor "manifest" {
    output     = "${path.root}/../out/packer-manifest.json"
    strip_path = true
    custom_data = {
      kubernetes_version = local.kubernetes_version
      agent_version      = local.agent_version
      debian             = var.debian
      architecture       = var.architecture
    }
  }
}
