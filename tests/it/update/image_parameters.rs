//! Images that are named by SSM parameters.

use aws_sdk_ssm::types::ParameterType;

use super::*;

async fn put(world: &World, name: &str, value: &str, kind: ParameterType) {
    let call = world.clients.ssm.put_parameter().name(name).value(value).r#type(kind).overwrite(true);
    call.send().await.unwrap();
}

/// An image for the cluster, besides the one that there is, and its id.
async fn another_image(world: &World, name: &str) -> String {
    let version = world.documents.cluster.spec.kubernetes_version.as_deref().unwrap();
    let mut image = machine_image(version);
    image["name"] = json!(name);
    let answer: Value = world.region.post("images", &image).await.unwrap();
    answer["imageId"].as_str().unwrap().to_owned()
}

fn name_images(world: &mut World, image: &str) {
    let groups = world.documents.instance_groups.iter_mut();
    groups.for_each(|group| group.spec.image = Some(image.to_owned()));
}

/// The image in the newest version of the nodes' launch template.
async fn image_of_nodes(world: &World) -> String {
    let template = world.id(Kind::LaunchTemplate, "nodes").await;
    let call = world.clients.ec2.describe_launch_template_versions().launch_template_id(template);
    let answer = call.versions("$Latest").send().await.unwrap();
    let data = answer.launch_template_versions()[0].launch_template_data().unwrap();
    data.image_id().unwrap().to_owned()
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn the_image_of_a_parameter_is_looked_up_with_each_plan_and_the_plan_shows_it() {
        let mut world = World::new().await;
        let (first, second) = (another_image(&world, "first").await, another_image(&world, "second").await);
        put(&world, "/images/kubernetes", &first, ParameterType::String).await;
        name_images(&mut world, "ssm:/images/kubernetes");
        world.forget_journal().await;
        let shown = world.plan().await.to_string();
        assert!(shown.contains(&first) && !shown.contains(&second), "{shown}");
        let calls = world.journal(false).await;
        let asked = calls.iter().filter(|call| call.contains("GetParameters")).count();
        assert_eq!(asked, 1, "one call for all groups: {calls:?}");
        world.update().await.succeeded();
        assert_eq!(image_of_nodes(&world).await, first);

        put(&world, "/images/kubernetes", &second, ParameterType::String).await;
        let shown = world.plan().await.to_string();
        assert!(shown.contains(&first) && shown.contains(&second), "{shown}");
        world.update().await.succeeded();
        assert_eq!(image_of_nodes(&world).await, second);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_parameter_that_holds_no_image_is_refused_by_the_group_that_names_it() {
        let mut world = World::new().await;
        name_images(&mut world, "ssm:/images/none");
        let error = world.refusal().await;
        let told = error.to_string();
        let words = "spec.image: there is no SSM parameter `/images/none` in us-east-1";
        assert!(told.contains("instance group `") && told.contains(words), "{told}");
        assert!(error.hint().unwrap().contains("put-parameter"), "{:?}", error.hint());

        put(&world, "/images/text", "debian-13", ParameterType::String).await;
        name_images(&mut world, "ssm:/images/text");
        let told = world.refusal().await.to_string();
        assert!(told.contains("holds `debian-13`, which is no AMI's id"), "{told}");

        let secret = another_image(&world, "secret").await;
        put(&world, "/images/secret", &secret, ParameterType::SecureString).await;
        name_images(&mut world, "ssm:/images/secret");
        let told = world.refusal().await.to_string();
        assert!(told.contains("is a SecureString") && !told.contains(&secret), "{told}");

        put(&world, "/images/gone", "ami-0123456789abcdef0", ParameterType::String).await;
        name_images(&mut world, "ssm:/images/gone");
        let told = world.refusal().await.to_string();
        assert!(told.contains("there is no image `ami-0123456789abcdef0` of `ssm:/images/gone`"), "{told}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_parameter_that_may_not_be_read_is_told_with_the_permission_that_lacks() {
        let mut world = World::new().await;
        name_images(&mut world, "ssm:/images/kubernetes");
        let fault = json!({"service": "ssm", "action": "GetParameters", "code": "AccessDeniedException", "status": 400});
        world.region.inject(&json!([fault])).await.unwrap();
        let error = world.refusal().await;
        let told = format!("{error} {}", error.hint().unwrap());
        assert!(told.contains("/images/kubernetes") && told.contains("`ssm:GetParameters`"), "{told}");
    }
}
