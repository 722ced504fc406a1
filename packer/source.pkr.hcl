source "amazon-ebs" "node" {
  region        = var.region
  instance_type = local.instance_type
  subnet_id     = var.subnet_id
  ssh_username  = "admin"

  associate_public_ip_address = var.associate_public_ip_address
  # The building instance answers to this machine only.
  temporary_security_group_source_public_ip = true

  ami_name        = local.image_name
  ami_description = "Kubernetes ${local.kubernetes_version} on Debian ${var.debian} (${var.architecture}), for windlass"
  ami_regions     = var.ami_regions
  ami_users       = var.ami_users
  snapshot_users  = var.ami_users
  ena_support     = true
  encrypt_boot    = true
  kms_key_id      = var.kms_key_id
  # A property of the image: whatever is launched from it requires IMDSv2.
  imds_support = "v2.0"

  tags            = local.tags
  snapshot_tags   = local.tags
  run_tags        = { Name = "packer-${local.image_name}" }
  run_volume_tags = { Name = "packer-${local.image_name}" }

  # The building instance itself.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  source_ami_filter {
    filters = {
      name                = "debian-${var.debian}-${var.architecture}-*"
      architecture        = var.architecture == "arm64" ? "arm64" : "x86_64"
      virtualization-type = "hvm"
      root-device-type    = "ebs"
      state               = "available"
    }
    owners      = ["136693071363"] # Debian
    most_recent = true
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 12
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
  }

  # Copying and encrypting an image takes longer than the defaults allow.
  aws_polling {
    delay_seconds = 30
    max_attempts  = 240
  }
}
