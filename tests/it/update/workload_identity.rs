//! What service accounts are to AWS: the issuer's documents, IAM's trust in it, and roles, made, changed and deleted with
//! their cluster, and never taken from somebody else.

use std::collections::BTreeMap;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ObjectCannedAcl, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    PublicAccessBlockConfiguration,
};
use windlass::aws::facts::DiscoveryError;
use windlass::spec::v1alpha2::{
    AwsPermissionSpec, ServiceAccountIssuerDiscoverySpec, ServiceAccountPermissionSpec,
};

use super::*;

const DISCOVERY: &str = "discovery";
const ISSUER: &str = "https://discovery.s3.us-east-1.amazonaws.com/demo";
const PROVIDER: &str = "arn:aws:iam::123456789012:oidc-provider/discovery.s3.us-east-1.amazonaws.com/demo";
const KEYS: [&str; 2] = ["demo/.well-known/openid-configuration", "demo/openid/v1/jwks"];
const WEB: &str = "web.default.sa.demo.example.com";
const JOBS: &str = "jobs.team-wildcard.sa.demo.example.com";

/// A region with an empty cluster, whose specification publishes the issuer in a bucket that is open to everybody.
async fn published_world() -> World {
    let mut world = World::new().await;
    world.documents.cluster = published("s3://discovery/demo", &[("default", "web"), ("team-*", "jobs")]);
    bucket(&world, DISCOVERY).await;
    open(&world, DISCOVERY).await;
    world
}

/// The specification with a discovery store, and roles for service accounts.
fn published(store: &str, accounts: &[(&str, &str)]) -> v1alpha2::Cluster {
    let mut cluster = specification().cluster;
    cluster.spec.service_account_issuer_discovery = Some(ServiceAccountIssuerDiscoverySpec {
        discovery_store: Some(store.to_owned()),
        enable_aws_oidc_provider: Some(true),
        additional_audiences: Some(vec!["sts.amazonaws.com".to_owned()]),
        ..ServiceAccountIssuerDiscoverySpec::default()
    });
    let permission = |(namespace, name): &(&str, &str)| ServiceAccountPermissionSpec {
        name: Some((*name).to_owned()),
        namespace: Some((*namespace).to_owned()),
        aws: Some(AwsPermissionSpec {
            policy_arns: None,
            inline_policy: Some(
                r#"[{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}]"#.to_owned(),
            ),
        }),
    };
    let permissions = accounts.iter().map(permission).collect();
    cluster.spec.iam.get_or_insert_default().service_account_external_permissions = Some(permissions);
    cluster
}

async fn bucket(world: &World, name: &str) {
    world.clients.s3.create_bucket().bucket(name).send().await.unwrap();
}

/// Lets everybody read a bucket's objects, by its policy.
async fn open(world: &World, bucket: &str) {
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": format!("arn:aws:s3:::{bucket}/*"),
    }]});
    world.clients.s3.put_bucket_policy().bucket(bucket).policy(policy.to_string()).send().await.unwrap();
}

/// The objects of a bucket as somebody reads them who has no credentials.
async fn objects(world: &World, bucket: &str) -> BTreeMap<String, Value> {
    let listed = world.clients.s3.list_objects_v2().bucket(bucket).send().await.unwrap();
    let mut found = BTreeMap::new();
    for key in listed.contents().iter().filter_map(|object| object.key()) {
        let answer = world.clients.s3_of_nobody().get_object().bucket(bucket).key(key).send().await.unwrap();
        let bytes = answer.body.collect().await.unwrap().to_vec();
        found.insert(key.to_owned(), serde_json::from_slice(&bytes).unwrap());
    }
    found
}

async fn write(world: &World, key: &str, text: &'static str) {
    let call = world.clients.s3.put_object().bucket(DISCOVERY).key(key);
    call.body(ByteStream::from_static(text.as_bytes())).send().await.unwrap();
}

/// The account's providers.
async fn providers(world: &World) -> Vec<String> {
    let answer = world.clients.iam.list_open_id_connect_providers().send().await.unwrap();
    let all = answer.open_id_connect_provider_list().iter();
    all.filter_map(|provider| provider.arn().map(str::to_owned)).collect()
}

async fn audiences(world: &World) -> Vec<String> {
    let call = world.clients.iam.get_open_id_connect_provider().open_id_connect_provider_arn(PROVIDER);
    let mut audiences = call.send().await.unwrap().client_id_list().to_vec();
    audiences.sort();
    audiences
}

/// The names of the roles of service accounts.
async fn roles(world: &World) -> Vec<String> {
    let answer = world.clients.iam.list_roles().send().await.unwrap();
    let names = answer.roles().iter().map(|role| role.role_name().to_owned());
    let mut names: Vec<String> = names.filter(|name| name.contains(".sa.")).collect();
    names.sort();
    names
}

/// The steps of a plan as `verb kind`.
fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{} {}", step.action.verb(), step.resource.kind)).collect()
}

/// What is in the region of all this.
async fn picture(world: &World) -> (Vec<String>, Vec<String>, Vec<String>) {
    let keys = objects(world, DISCOVERY).await.into_keys().collect();
    (keys, providers(world).await, roles(world).await)
}

/// The same where nothing is.
fn nothing() -> (Vec<String>, Vec<String>, Vec<String>) {
    (Vec::new(), Vec::new(), Vec::new())
}

/// What it is of a specification that says all.
fn everything() -> (Vec<String>, Vec<String>, Vec<String>) {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    (owned(&KEYS), owned(&[PROVIDER]), owned(&[JOBS, WEB]))
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn the_issuer_is_published_and_trusted_and_a_second_update_has_nothing_to_do() {
        let world = published_world().await;
        world.update().await.succeeded();
        assert_eq!(picture(&world).await, everything());
        let published = objects(&world, DISCOVERY).await;
        assert_eq!(published[KEYS[0]]["issuer"], ISSUER);
        assert_eq!(published[KEYS[0]]["jwks_uri"], format!("{ISSUER}/openid/v1/jwks"));
        assert_eq!(published[KEYS[1]]["keys"].as_array().unwrap().len(), 1);
        assert_eq!(audiences(&world).await, ["amazonaws.com", "sts.amazonaws.com"]);
        world.has_nothing_to_do().await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_deletion_takes_all_of_it_and_leaves_what_isn_t_the_cluster_s() {
        let world = published_world().await;
        write(&world, "other", "{}").await;
        world.update().await.succeeded();
        world.delete().await.succeeded();
        assert_eq!(picture(&world).await, (vec!["other".to_owned()], Vec::new(), Vec::new()));
        let left = leftovers(&world).await;
        assert_eq!(left, ["objects discovery/other"]);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_is_taken_out_of_the_specification_goes_and_what_stays_is_left_alone() {
        let mut world = published_world().await;
        world.update().await.succeeded();
        world.documents.cluster = published("s3://discovery/demo", &[("default", "web")]);
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["delete service-account-role"], "{}", outcome.plan);
        assert_eq!(roles(&world).await, [WEB]);
        world.documents.cluster = specification().cluster;
        let issuers = vec![ISSUER.to_owned()];
        let api_server = world.documents.cluster.spec.kube_api_server.get_or_insert_default();
        api_server.additional_service_account_issuers = Some(issuers);
        let outcome = world.update().await.succeeded();
        assert_eq!(picture(&world).await, nothing(), "{}", outcome.plan);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn tokens_of_the_issuer_of_before_must_stay_good() {
        let mut world = published_world().await;
        world.update().await.succeeded();
        world.documents.cluster = published("s3://discovery/other", &[]);
        let refused = world.try_plan().await.unwrap_err();
        let OperationError::Unreachable { source, .. } = &refused else { panic!("{refused:?}") };
        assert!(source.to_string().contains("additionalServiceAccountIssuers"), "{source}");
        let api_server = world.documents.cluster.spec.kube_api_server.get_or_insert_default();
        api_server.additional_service_account_issuers = Some(vec![ISSUER.to_owned()]);
        world.update().await.succeeded();
        let other = PROVIDER.replace("/demo", "/other");
        let keys = KEYS.map(|key| key.replace("demo/", "other/")).to_vec();
        assert_eq!(picture(&world).await, (keys, vec![other], Vec::new()));
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_somebody_changed_is_set_back() {
        let world = published_world().await;
        world.update().await.succeeded();
        let (iam, s3) = (&world.clients.iam, &world.clients.s3);

        let metadata = s3.head_object().bucket(DISCOVERY).key(KEYS[1]).send().await.unwrap();
        let metadata = metadata.metadata().unwrap().clone();
        let call = s3.put_object().bucket(DISCOVERY).key(KEYS[1]).set_metadata(Some(metadata));
        call.body(ByteStream::from_static(b"{\"keys\": []}")).send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["update discovery-document"], "{}", outcome.plan);
        assert_eq!(objects(&world, DISCOVERY).await[KEYS[1]]["keys"].as_array().unwrap().len(), 1);

        s3.delete_object().bucket(DISCOVERY).key(KEYS[0]).send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["create discovery-document"], "{}", outcome.plan);

        let call = iam.add_client_id_to_open_id_connect_provider().open_id_connect_provider_arn(PROVIDER);
        call.client_id("evil.example.com").send().await.unwrap();
        let call =
            iam.remove_client_id_from_open_id_connect_provider().open_id_connect_provider_arn(PROVIDER);
        call.client_id("amazonaws.com").send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["update oidc-provider"], "{}", outcome.plan);
        assert_eq!(audiences(&world).await, ["amazonaws.com", "sts.amazonaws.com"]);

        let trust = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole",
        }]});
        let call = iam.update_assume_role_policy().role_name(WEB).policy_document(trust.to_string());
        call.send().await.unwrap();
        let call = iam.put_role_policy().role_name(JOBS).policy_name("more");
        let more = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "*", "Resource": "*",
        }]});
        call.policy_document(more.to_string()).send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(
            steps(&outcome.plan),
            ["update service-account-role", "update service-account-role"],
            "{}",
            outcome.plan
        );
        assert!(world.plan().await.is_empty());

        iam.delete_open_id_connect_provider().open_id_connect_provider_arn(PROVIDER).send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["create oidc-provider"], "{}", outcome.plan);
        assert_eq!(picture(&world).await, everything());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_nobody_can_read_any_more_is_seen() {
        let world = published_world().await;
        world.update().await.succeeded();
        world.clients.s3.delete_bucket_policy().bucket(DISCOVERY).send().await.unwrap();
        // The bucket takes lists, so that the objects say it themselves.
        let outcome = world.update().await.succeeded();
        assert_eq!(
            steps(&outcome.plan),
            ["update discovery-document", "update discovery-document"],
            "{}",
            outcome.plan
        );
        assert_eq!(picture(&world).await, everything());
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_bucket_that_can_t_hold_the_documents_is_refused_with_what_to_do() {
        let mut world = World::new().await;
        world.documents.cluster = published("s3://discovery/demo", &[]);
        let refused = async |world: &World| {
            let FactsError::Discovery(error) = world.refusal().await else { panic!("another refusal") };
            error
        };
        assert!(matches!(refused(&world).await, DiscoveryError::Missing { .. }));
        bucket(&world, DISCOVERY).await;
        let rule =
            OwnershipControlsRule::builder().object_ownership(ObjectOwnership::BucketOwnerEnforced).build();
        let controls = OwnershipControls::builder().rules(rule.unwrap()).build().unwrap();
        let call = world.clients.s3.put_bucket_ownership_controls().bucket(DISCOVERY);
        call.ownership_controls(controls).send().await.unwrap();
        let error = refused(&world).await;
        assert!(matches!(error, DiscoveryError::Closed { .. }), "{error}");
        assert!(error.hint().contains("arn:aws:s3:::discovery/demo/*"), "{}", error.hint());
        open(&world, DISCOVERY).await;
        assert!(!world.plan().await.is_empty());
        let block = PublicAccessBlockConfiguration::builder().restrict_public_buckets(true).build();
        let call = world.clients.s3.put_public_access_block().bucket(DISCOVERY);
        call.public_access_block_configuration(block).send().await.unwrap();
        assert!(matches!(refused(&world).await, DiscoveryError::Closed { .. }));
        assert_eq!(providers(&world).await, Vec::<String>::new());

        // The state's bucket is closed to everybody.
        world.documents.cluster = published(&format!("s3://{BUCKET}/demo"), &[]);
        assert!(matches!(refused(&world).await, DiscoveryError::Closed { .. }));
        world.documents.cluster = published("memfs://discovery/demo", &[]);
        assert!(matches!(refused(&world).await, DiscoveryError::Nowhere { .. }));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn documents_that_a_policy_doesn_t_open_are_said_to_be_unreadable() {
        let world = published_world().await;
        // It lets everybody in, and not to these objects.
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::discovery/public/*",
        }]});
        let call = world.clients.s3.put_bucket_policy().bucket(DISCOVERY).policy(policy.to_string());
        call.send().await.unwrap();
        let stop = Stop::never();
        let guard = world.guard("update cluster", &stop);
        let outcome = Box::pin(guard.holding(Box::pin(world.update_under_lease()))).await.unwrap();
        let failed: Vec<_> = outcome.summary.failed.iter().map(|failed| failed.error.to_string()).collect();
        assert!(failed.iter().all(|said| said.contains("can't read it")) && !failed.is_empty(), "{failed:?}");
        assert!(outcome.summary.failed[0].error.hint().unwrap().contains("s3:GetObject"));
        open(&world, DISCOVERY).await;
        world.update().await.succeeded();
        assert_eq!(picture(&world).await, everything());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn objects_of_a_bucket_that_takes_lists_say_themselves_that_everybody_may_read_them() {
        let mut world = World::new().await;
        world.documents.cluster = published("s3://discovery", &[]);
        bucket(&world, DISCOVERY).await;
        world.update().await.succeeded();
        let (keys, providers, _) = picture(&world).await;
        assert_eq!(keys, KEYS.map(|key| key.trim_start_matches("demo/")));
        assert_eq!(providers, [PROVIDER.trim_end_matches("/demo")]);
        let call = world.clients.s3.put_object_acl().bucket(DISCOVERY).key(&keys[0]);
        call.acl(ObjectCannedAcl::Private).send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["update discovery-document"], "{}", outcome.plan);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_is_somebody_else_s_is_refused_by_its_name_before_anything_is_made() {
        let world = published_world().await;
        let iam = &world.clients.iam;
        let refused = async || {
            world.forget_journal().await;
            let error = world.try_plan().await.unwrap_err();
            assert_eq!(world.journal(true).await, Vec::<String>::new());
            let causes =
                std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        };
        iam.create_open_id_connect_provider().url(ISSUER).send().await.unwrap();
        let told = refused().await;
        assert!(
            told.contains("oidc-provider/discovery.s3") && told.contains("isn't this cluster's"),
            "{told}"
        );
        iam.delete_open_id_connect_provider().open_id_connect_provider_arn(PROVIDER).send().await.unwrap();

        write(&world, KEYS[0], "{}").await;
        let told = refused().await;
        assert!(told.contains("discovery-document/https://discovery") && told.contains(KEYS[0]), "{told}");
        world.clients.s3.delete_object().bucket(DISCOVERY).key(KEYS[0]).send().await.unwrap();

        let trust = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sts:*"}]}"#;
        let call = iam.create_role().role_name(WEB).assume_role_policy_document(trust);
        call.send().await.unwrap();
        let told = refused().await;
        assert!(told.contains(&format!("service-account-role/{WEB}")), "{told}");
        iam.delete_role().role_name(WEB).send().await.unwrap();
        assert!(!world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_the_cluster_lost_the_mark_of_is_found_again_by_its_name() {
        let world = published_world().await;
        world.update().await.succeeded();
        let call = world.clients.iam.untag_role().role_name(format!("masters.{NAME}"));
        call.tag_keys(tags::ISSUER).tag_keys(tags::DISCOVERY).send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["update role"], "{}", outcome.plan);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn killed_at_any_changing_call_the_next_update_ends_in_the_same_place() {
        let mut world = published_world().await;
        let (all, none) = (world.documents.cluster.clone(), {
            let mut none = specification().cluster;
            let api_server = none.spec.kube_api_server.get_or_insert_default();
            api_server.additional_service_account_issuers = Some(vec![ISSUER.to_owned()]);
            none
        });
        world.documents.cluster.clone_from(&none);
        world.update().await.succeeded();
        for (to, from, expected) in [(&all, &none, everything()), (&none, &all, nothing())] {
            for kill_after in 0..10 {
                world.documents.cluster.clone_from(from);
                world.update().await.succeeded();
                world.documents.cluster.clone_from(to);
                world.update_killed_after(kill_after).await;
                world.update().await.succeeded();
                let again = world.plan().await;
                assert!(again.is_empty(), "killed after {kill_after} calls:\n{again}");
                assert_eq!(picture(&world).await, expected, "killed after {kill_after} calls");
            }
        }
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn lost_replies_end_in_one_of_each() {
        let world = published_world().await;
        let fault = json!({
            "action": "^(CreateOpenIDConnectProvider|CreateRole|PutObject)$", "code": "ServiceUnavailable",
            "status": 503, "times": 6, "rate": 0.5, "latencyMs": 0, "after": true,
        });
        inject(&world, &fault).await;
        world.update().await.succeeded();
        assert_eq!(picture(&world).await, everything());
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_cluster_without_any_of_it_asks_for_none_of_it() {
        let world = World::new().await;
        world.update().await.succeeded();
        world.update().await.succeeded();
        world.delete().await.succeeded();
        let asked = world.journal(false).await;
        let about = ["OpenIDConnect", "ListRoles"];
        assert!(!asked.iter().any(|call| about.iter().any(|about| call.contains(about))), "{asked:?}");
    }
}
