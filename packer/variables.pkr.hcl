variable "region" {
  description = "Where the image is built and kept."
  type        = string
  default     = "us-east-1"
}

variable "debian" {
  description = "Debian's release: 12 or 13."
  type        = string
  default     = "13"

  validation {
    condition     = contains(["12", "13"], var.debian)
    error_message = "The debian variable must be 12 or 13."
  }
}

variable "architecture" {
  description = "As Debian calls it: amd64 or arm64."
  type        = string
  default     = "amd64"

  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "The architecture variable must be amd64 or arm64."
  }
}

variable "agent_binary" {
  description = "The boot agent, built for the image's architecture: target/<triple>/dist/windlass-bootstrap."
  type        = string
}

variable "kubernetes_version" {
  description = "Another version than the one in manifests/versions.json. Its digests must be in artifacts.lock."
  type        = string
  default     = ""
}

variable "containerd_source" {
  description = "Whose containerd and runc: upstream, which Kubernetes is tested with, or debian (from Debian 13 on)."
  type        = string
  default     = "upstream"

  validation {
    condition     = contains(["upstream", "debian"], var.containerd_source)
    error_message = "The containerd_source variable must be upstream or debian."
  }
}

variable "instance_type" {
  description = "Of the building instance; empty for one that fits the architecture."
  type        = string
  default     = ""
}

variable "subnet_id" {
  description = "Where the building instance runs; empty for the default VPC."
  type        = string
  default     = ""
}

variable "associate_public_ip_address" {
  description = "Whether the building instance gets a public address, which Packer connects to."
  type        = bool
  default     = true
}

variable "kms_key_id" {
  description = "The key that encrypts the image; empty for the account's default key, which can't be shared."
  type        = string
  default     = ""
}

variable "ami_regions" {
  description = "Regions that the image is copied to."
  type        = list(string)
  default     = []
}

variable "ami_users" {
  description = "Accounts that may use the image. Needs kms_key_id."
  type        = list(string)
  default     = []
}

locals {
  versions           = jsondecode(file("${path.root}/../manifests/versions.json"))
  kubernetes_version = var.kubernetes_version != "" ? var.kubernetes_version : local.versions.kubernetes

  # The first version line of the workspace's manifest is the agent's.
  agent_version = split("\"", element([for line in split("\n", file("${path.root}/../Cargo.toml")) : line if substr(line, 0, 9) == "version ="], 0))[1]

  instance_type = var.instance_type != "" ? var.instance_type : var.architecture == "arm64" ? "t4g.medium" : "t3.medium"
  # An account that the image is shared with sees its name, and none of its tags: what windlass must know is in both.
  image_name = "windlass-${local.kubernetes_version}-debian-${var.debian}-${var.architecture}-etcd-${local.versions.etcd}-${formatdate("YYYYMMDDhhmmss", timestamp())}"

  tags = {
    Name                              = local.image_name
    "windlass.dev/kubernetes-version" = local.kubernetes_version
    "windlass.dev/etcd-version"       = local.versions.etcd
    "windlass.dev/agent-version"      = local.agent_version
    "windlass.dev/architecture"       = var.architecture
    "windlass.dev/debian"             = var.debian
    "windlass.dev/node-config"        = "windlass/v6"
  }
}
