//! `delete cluster` and volumes of PersistentVolumes: what the command says, and what it leaves.

mod with_region {
    use std::process::Output;

    use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification, VolumeType};
    use windlass::state::bucket::create_bucket;

    use crate::support::region::Region;

    const NAME: &str = "demo.example.com";

    struct World {
        region: Region,
        home: tempfile::TempDir,
    }

    impl World {
        /// A region with a cluster and the volume of a PersistentVolume; returns the volume's id, too.
        async fn with_volume() -> (Self, String) {
            let world = Self { region: Region::start(), home: tempfile::tempdir().unwrap() };
            world.region.register_image("1.36.3");
            let clients = world.region.clients().await;
            create_bucket(&clients, "clusters", None).await.unwrap();
            world.succeeds(
                "create cluster --zones us-east-1a --kubernetes-version 1.36.3 --networking flannel",
            );
            world.succeeds("update cluster --yes --create-kube-config=false");
            let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
            let tags = TagSpecification::builder()
                .resource_type(ResourceType::Volume)
                .tags(tag("kubernetes.io/cluster/demo.example.com", "owned"))
                .tags(tag("kubernetes.io/created-for/pvc/namespace", "default"))
                .tags(tag("kubernetes.io/created-for/pvc/name", "data"));
            let call = clients.ec2.create_volume().availability_zone("us-east-1a").size(4);
            let made =
                call.volume_type(VolumeType::Gp3).tag_specifications(tags.build()).send().await.unwrap();
            (world, made.volume_id().unwrap().to_owned())
        }

        async fn volumes(&self) -> Vec<String> {
            let answer = self.region.clients().await.ec2.describe_volumes().send().await.unwrap();
            answer.volumes().iter().filter_map(|volume| volume.volume_id().map(str::to_owned)).collect()
        }

        fn windlass(&self, line: &str) -> Output {
            let mut command = self.region.operator(self.home.path(), "s3://clusters/team");
            command.args(line.split_whitespace()).args(["--name", NAME]).output().unwrap()
        }

        fn succeeds(&self, line: &str) -> String {
            let output = self.windlass(line);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{line}: {said}");
            String::from_utf8_lossy(&output.stdout).into_owned() + &said
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn where_the_api_cannot_be_asked_volumes_are_kept_and_named() {
        let (world, volume) = World::with_volume().await;
        let listed = world.succeeds("delete cluster");
        assert!(listed.contains("Kept, because data is on it:"), "{listed}");
        assert!(listed.contains(&format!("persistent-volume/{volume} (claim default/data)")), "{listed}");
        assert!(listed.contains("The Kubernetes API could not be asked for reclaim policies"), "{listed}");
        let said = world.succeeds("delete cluster --yes");
        assert!(said.contains("To delete these volumes too: --delete-volumes"), "{said}");
        assert_eq!(world.volumes().await, [volume]);
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn volumes_go_where_that_is_asked_for() {
        let (world, volume) = World::with_volume().await;
        let listed = world.succeeds("delete cluster --delete-volumes");
        assert!(listed.contains(&format!("- persistent-volume/{volume} (claim default/data)")), "{listed}");
        assert!(listed.contains("--delete-volumes --yes"), "{listed}");
        world.succeeds("delete cluster --delete-volumes --yes");
        assert_eq!(world.volumes().await, Vec::<String>::new());
    }
}
