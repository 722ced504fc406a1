//! Which flags ask for what can't be made: those without which less would be wrong.

use super::{CreateOptions, create};

/// A flag, and how it is left out.
type Flag = (&'static str, fn(&mut CreateOptions));

macro_rules! flags {
    ($($flag:literal: $field:ident,)*) => {
        /// Flags that may ask for something that isn't supported, or is wrong in itself.
        const FLAGS: &[Flag] = &[$(($flag, |options| options.$field = CreateOptions::default().$field),)*];
    };
}

flags! {
    "--api-loadbalancer-type": api_loadbalancer_type,
    "--api-public-name": api_public_name,
    "--api-ssl-certificate": api_ssl_certificate,
    "--associate-public-ip": associate_public_ip,
    "--authorization": authorization,
    "--bastion": bastion,
    "--bastion-image": bastion_image,
    "--channel": channel,
    "--control-plane-count": control_plane_count,
    "--control-plane-image": control_plane_image,
    "--control-plane-security-groups": control_plane_security_groups,
    "--control-plane-size": control_plane_size,
    "--control-plane-tenancy": control_plane_tenancy,
    "--control-plane-volume-size": control_plane_volume_size,
    "--control-plane-volume-type": control_plane_volume_type,
    "--control-plane-zones": control_plane_zones,
    "--discovery-store": discovery_store,
    "--dns": dns,
    "--dns-zone": dns_zone,
    "--encrypt-etcd-storage": encrypt_etcd_storage,
    "--etcd-clusters": etcd_clusters,
    "--etcd-storage-type": etcd_storage_type,
    "--image": image,
    "--instance-manager": instance_manager,
    "--ipv6": ipv6,
    "--kubernetes-feature-gates": kubernetes_feature_gates,
    "--kubernetes-version": kubernetes_version,
    "--networking": networking,
    "--node-count": node_count,
    "--node-image": node_image,
    "--node-security-groups": node_security_groups,
    "--node-size": node_size,
    "--node-tenancy": node_tenancy,
    "--node-volume-size": node_volume_size,
    "--node-volume-type": node_volume_type,
    "--set": set,
    "--topology": topology,
    "--unset": unset,
}

/// The flags without each of which fewer problems are left, in the order of their names.
pub fn to_blame(options: &CreateOptions) -> Vec<&'static str> {
    let Some(all) = problems(options) else { return Vec::new() };
    let is_to_blame = |(flag, leave_out): &Flag| {
        let mut without = options.clone();
        leave_out(&mut without);
        let fewer = without != *options && problems(&without).is_some_and(|left| left < all);
        fewer.then_some(*flag)
    };
    FLAGS.iter().filter_map(is_to_blame).collect()
}

/// How many problems the specification has that flags make; nothing where they make none.
fn problems(options: &CreateOptions) -> Option<usize> {
    let documents = create(options).ok()?;
    Some(documents.resolve().err().map_or(0, |problems| problems.0.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_that_asks_for_what_can_t_be_made_is_named_at_once_and_no_other() {
        let some = |text: &str| Some(text.to_owned());
        let options = CreateOptions {
            name: "demo.example.com".to_owned(),
            zones: vec!["us-east-1a".to_owned()],
            node_count: Some(3),
            authorization: some("AlwaysAllow"),
            networking: some("calico"),
            image: some("nothing"),
            control_plane_tenancy: some("shared"),
            ..CreateOptions::default()
        };
        let expected = ["--authorization", "--control-plane-tenancy", "--image", "--networking"];
        assert_eq!(to_blame(&options), expected);
        let good = CreateOptions { authorization: None, networking: None, image: None, ..options };
        assert_eq!(to_blame(&CreateOptions { control_plane_tenancy: None, ..good }), Vec::<&str>::new());
    }
}
