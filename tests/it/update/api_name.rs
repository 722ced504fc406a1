//! The API's name in a hosted zone: made, changed and deleted with its cluster, and never taken from somebody else.

use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, HostedZoneConfig, ResourceRecord, ResourceRecordSet,
    RrType, Vpc, VpcRegion,
};
use windlass::aws::facts::FactsError;
use windlass::aws::hosted_zone;
use windlass::spec::cluster::{ApiName, DnsZone};

use super::*;

const API: &str = "api.demo.example.com";

/// A region with an empty cluster, whose specification names a hosted zone.
async fn named_world() -> (World, String) {
    let mut world = World::new().await;
    let zone = zone(&world, "example.com", "one").await;
    world.cluster.api.dns = Some(named(DnsZone::Name("example.com".to_owned())));
    (world, zone)
}

fn named(zone: DnsZone) -> ApiName {
    ApiName { name: API.to_owned(), zone }
}

/// Makes a public hosted zone; returns its id.
async fn zone(world: &World, name: &str, reference: &str) -> String {
    let call = world.clients.route53.create_hosted_zone().name(name).caller_reference(reference);
    let made = call.send().await.unwrap();
    made.hosted_zone().unwrap().id().trim_start_matches("/hostedzone/").to_owned()
}

/// The record sets of a zone but its own, as `name type values`.
async fn records(world: &World, zone: &str) -> Vec<String> {
    let call = world.clients.route53.list_resource_record_sets().hosted_zone_id(zone);
    let answer = call.send().await.unwrap();
    let sets = answer.resource_record_sets().iter();
    let sets = sets.filter(|set| !matches!(set.r#type(), RrType::Ns | RrType::Soa));
    sets.map(|set| {
        format!("{} {} {:?} {}", set.name(), set.r#type(), set.ttl().unwrap_or(0), hosted_zone::shown(set))
    })
    .collect()
}

/// The records that make the name the cluster's.
async fn ours(world: &World) -> Vec<String> {
    let answer = world.clients.ec2.describe_addresses().send().await.unwrap();
    let addresses: Vec<&str> = answer.addresses().iter().filter_map(|address| address.public_ip()).collect();
    let [address] = addresses.as_slice() else { panic!("not one Elastic IP: {addresses:?}") };
    vec![
        format!("{API}. A 60 {address}"),
        format!(
            "{API}. TXT 60 \"heritage=windlass,windlass.dev/cluster={NAME},windlass.dev/region=us-east-1\""
        ),
    ]
}

fn set(kind: RrType, value: &str) -> ResourceRecordSet {
    let record = ResourceRecord::builder().value(value).build().unwrap();
    ResourceRecordSet::builder().name(API).r#type(kind).ttl(300).resource_records(record).build().unwrap()
}

async fn change(world: &World, zone: &str, action: ChangeAction, set: ResourceRecordSet) {
    let change = Change::builder().action(action).resource_record_set(set).build().unwrap();
    let batch = ChangeBatch::builder().changes(change).build().unwrap();
    let call = world.clients.route53.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch);
    call.send().await.unwrap();
}

async fn refusal(world: &World) -> FactsError {
    facts::gather(&world.cluster, &world.clients).await.unwrap_err()
}

/// The steps of a plan as `verb kind`.
fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{} {}", step.action.verb(), step.resource.kind)).collect()
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_named_api_has_its_elastic_ip_s_record_and_a_second_update_has_nothing_to_do() {
        let (world, zone) = named_world().await;
        world.update().await.succeeded();
        assert_eq!(records(&world, &zone).await, ours(&world).await);
        world.forget_journal().await;
        let second = world.update().await.succeeded();
        assert!(second.plan.is_empty(), "the second plan:\n{}", second.plan);
        assert_eq!(world.journal(true).await, Vec::<String>::new());
        let unimplemented: Value = world.region.get("unimplemented").await.unwrap();
        assert_eq!(unimplemented, json!([]));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_named_api_whose_address_is_seen_only_after_a_while_has_one_address_and_one_record() {
        let (world, zone) = named_world().await;
        let unseen =
            json!({"action": "Create.*|AllocateAddress|ImportKeyPair", "unseenMs": 3000, "times": null});
        inject(&world, &unseen).await;
        let outcome = world.update().await.succeeded();
        assert!(!outcome.events.is_empty(), "nothing was unseen");
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert_eq!(records(&world, &zone).await, ours(&world).await);
        let again = world.update().await;
        assert!(again.plan.is_empty(), "{}", again.plan);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn without_a_written_zone_the_name_is_in_the_public_zone_that_is_nearest_to_it() {
        let mut world = World::new().await;
        world.cluster.api.dns = Some(named(DnsZone::Nearest));
        let FactsError::HostedZone(error) = refusal(&world).await else { panic!("another refusal") };
        assert_eq!(
            error.to_string(),
            format!("no public hosted zone of the account holds the API's name `{API}`")
        );
        let far = zone(&world, "example.com", "one").await;
        let near = zone(&world, "demo.example.com", "two").await;
        zone(&world, "xdemo.example.com", "three").await;
        world.update().await.succeeded();
        assert_eq!(records(&world, &near).await, ours(&world).await);
        assert_eq!(records(&world, &far).await, Vec::<String>::new());
        let twin = zone(&world, "demo.example.com", "four").await;
        let FactsError::HostedZone(error) = refusal(&world).await else { panic!("another refusal") };
        let told = error.to_string();
        assert!(told.contains(&near) && told.contains(&twin), "{told}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn without_a_zone_route_53_is_never_asked() {
        let world = World::new().await;
        world.update().await.succeeded();
        world.update().await.succeeded();
        world.delete().await.succeeded();
        let asked = world.journal(false).await;
        assert!(asked.len() > 50 && !asked.iter().any(|call| call.starts_with("route53:")), "{asked:?}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_deletion_takes_the_name_and_leaves_every_other_record() {
        let (world, zone) = named_world().await;
        world.update().await.succeeded();
        let mut other = set(RrType::A, "192.0.2.9");
        other.name = format!("www.{API}.");
        change(&world, &zone, ChangeAction::Create, other).await;
        change(&world, &zone, ChangeAction::Create, set(RrType::Aaaa, "2001:db8::1")).await;
        world.delete().await.succeeded();
        let left = [format!("{API}. AAAA 300 2001:db8::1"), format!("www.{API}. A 300 192.0.2.9")];
        assert_eq!(records(&world, &zone).await, left);
        assert_eq!(leftovers(&world).await, Vec::<String>::new());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_name_that_is_somebody_else_s_is_refused_before_anything_is_made() {
        let (world, zone) = named_world().await;
        let alias = AliasTarget::builder().dns_name("lb.example.com.").hosted_zone_id("Z1");
        let alias = alias.evaluate_target_health(false).build().unwrap();
        let alias = ResourceRecordSet::builder().name(API).r#type(RrType::A).alias_target(alias);
        let foreign = [
            (set(RrType::A, "192.0.2.1"), "A 192.0.2.1"),
            (set(RrType::Cname, "www.example.com"), "CNAME www.example.com"),
            (set(RrType::Txt, "\"heritage=external-dns\""), "TXT \"heritage=external-dns\""),
            (alias.build().unwrap(), "A alias of lb.example.com"),
        ];
        for (set, shown) in foreign {
            change(&world, &zone, ChangeAction::Create, set.clone()).await;
            let before = records(&world, &zone).await;
            world.forget_journal().await;
            let error = refusal(&world).await;
            assert_eq!(
                error.to_string(),
                format!(
                    "`{API}` is taken in the hosted zone `example.com` ({zone}): {shown} that this cluster didn't make"
                )
            );
            assert!(error.hint().unwrap().contains("masterPublicName"), "{:?}", error.hint());
            assert_eq!(world.journal(true).await, Vec::<String>::new());
            assert_eq!(records(&world, &zone).await, before);
            change(&world, &zone, ChangeAction::Delete, set).await;
        }
        assert!(facts::gather(&world.cluster, &world.clients).await.is_ok());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_name_that_somebody_takes_after_the_plan_was_made_is_left_to_them() {
        let (world, zone) = named_world().await;
        let desired = world.desired().await;
        let observed = world.observe().await;
        let plan = Plan::update(&desired, &observed).unwrap();
        change(&world, &zone, ChangeAction::Create, set(RrType::A, "192.0.2.1")).await;
        let outcome = world.apply(plan, &desired, &observed).await;
        let [failure] = outcome.summary.failed.as_slice() else { panic!("{:#?}", outcome.summary) };
        assert!(
            failure.error.to_string().ends_with("isn't this cluster's: A 192.0.2.1"),
            "{}",
            failure.error
        );
        assert_eq!(records(&world, &zone).await, [format!("{API}. A 300 192.0.2.1")]);
        world.delete().await.succeeded();
        assert_eq!(records(&world, &zone).await, [format!("{API}. A 300 192.0.2.1")]);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_record_that_was_changed_is_set_back_and_one_without_its_mark_is_refused() {
        let (world, zone) = named_world().await;
        world.update().await.succeeded();
        change(&world, &zone, ChangeAction::Upsert, set(RrType::A, "192.0.2.1")).await;
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["update record-set"], "{}", outcome.plan);
        assert!(outcome.plan.to_string().contains("192.0.2.1 → "), "{}", outcome.plan);
        assert_eq!(records(&world, &zone).await, ours(&world).await);

        change(&world, &zone, ChangeAction::Upsert, set(RrType::Txt, "\"mine\"")).await;
        assert!(matches!(refusal(&world).await, FactsError::HostedZone(_)));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn the_name_follows_an_elastic_ip_that_was_made_anew() {
        let (world, zone) = named_world().await;
        world.update().await.succeeded();
        let before = records(&world, &zone).await;
        let answer = world.clients.ec2.describe_addresses().send().await.unwrap();
        let lost = answer.addresses()[0].allocation_id().unwrap();
        world.clients.ec2.release_address().allocation_id(lost).send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["create elastic-ip", "create record-set"], "{}", outcome.plan);
        let after = records(&world, &zone).await;
        assert_eq!(after, ours(&world).await);
        assert_ne!(after, before);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn killed_at_any_call_of_a_change_of_the_name_nothing_of_the_old_one_stays() {
        let (mut world, one) = named_world().await;
        let two = zone(&world, "example.com", "two").await;
        world.cluster.api.dns = None;
        world.update().await.succeeded();
        let in_one = Some(named(DnsZone::Id(one.clone())));
        let in_two = Some(named(DnsZone::Id(two.clone())));
        let renamed = in_two.clone().map(|api| ApiName { name: format!("k8s.{API}"), ..api });
        let transitions =
            [(&None, &in_one), (&in_one, &in_two), (&in_two, &renamed), (&renamed, &None), (&in_one, &None)];
        for (from, to) in transitions {
            for kill_after in 0..4 {
                world.cluster.api.dns.clone_from(from);
                world.update().await.succeeded();
                world.cluster.api.dns.clone_from(to);
                world.update_killed_after(kill_after).await;
                world.update().await.succeeded();
                let again = world.update().await;
                assert!(again.plan.is_empty(), "killed after {kill_after} calls:\n{}", again.plan);
                let expected = if to.is_some() { 2 } else { 0 };
                let left = [records(&world, &one).await, records(&world, &two).await].concat();
                assert_eq!(left.len(), expected, "{from:?} to {to:?}, killed after {kill_after}: {left:?}");
                let name = to.as_ref().map_or(API, |api| &api.name);
                assert!(left.iter().all(|record| record.starts_with(&format!("{name}. "))), "{left:?}");
            }
        }
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_lost_reply_of_route_53_ends_in_one_record() {
        let (mut world, zone) = named_world().await;
        let with_name = world.cluster.api.dns.clone();
        for after in [false, true] {
            let fault = json!({
                "service": "route53", "action": "^ChangeResourceRecordSets$", "code": "ServiceUnavailable",
                "status": 503, "times": 1, "rate": 1.0, "latencyMs": 0, "after": after,
            });
            for name in [&with_name, &None] {
                world.cluster.api.dns.clone_from(name);
                inject(&world, &fault).await;
                let outcome = world.update().await.succeeded();
                assert!(!outcome.events.is_empty(), "the call was not hit: {}", outcome.plan);
                assert!(world.update().await.plan.is_empty());
                let expected = if name.is_some() { ours(&world).await } else { Vec::new() };
                assert_eq!(records(&world, &zone).await, expected);
            }
        }
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_zone_that_can_t_be_used_is_a_clear_error() {
        let (mut world, zone_id) = named_world().await;
        let by_id = |id: &str| Some(named(DnsZone::Id(id.to_owned())));
        let by_name = |name: &str| Some(named(DnsZone::Name(name.to_owned())));
        world.cluster.api.dns = by_id(&zone_id);
        assert_eq!(
            facts::gather(&world.cluster, &world.clients).await.unwrap().hosted_zone.unwrap().name,
            "example.com"
        );

        let second = zone(&world, "example.com", "two").await;
        let elsewhere = zone(&world, "example.org", "three").await;
        let vpc = Vpc::builder().vpc_region(VpcRegion::UsEast1).vpc_id("vpc-0123").build();
        let private = HostedZoneConfig::builder().private_zone(true).build();
        let call =
            world.clients.route53.create_hosted_zone().name("demo.example.com").caller_reference("four");
        let private = call.hosted_zone_config(private).vpc(vpc).send().await.unwrap().hosted_zone.unwrap();
        let cases = [
            (by_name("com"), "the account has no public hosted zone `com`".to_owned()),
            (by_id("Z0"), "the account has no public hosted zone `Z0`".to_owned()),
            (
                by_name("demo.example.com"),
                "the hosted zone `demo.example.com` is private, and private zones are not supported yet"
                    .to_owned(),
            ),
            (
                by_id(private.id().trim_start_matches("/hostedzone/")),
                format!(
                    "the hosted zone `{}` is private, and private zones are not supported yet",
                    private.id().trim_start_matches("/hostedzone/")
                ),
            ),
            (
                by_id(&elsewhere),
                format!("the API's name `{API}` is not in the hosted zone `example.org` ({elsewhere})"),
            ),
        ];
        for (dns, expected) in cases {
            world.cluster.api.dns = dns;
            let error = refusal(&world).await;
            assert_eq!(error.to_string(), expected);
            assert!(error.hint().is_some());
        }
        world.cluster.api.dns = by_name("example.com");
        let error = refusal(&world).await;
        assert!(error.to_string().starts_with("there are 2 public hosted zones `example.com`: "), "{error}");
        assert!(error.to_string().contains(&zone_id) && error.to_string().contains(&second), "{error}");
        assert!(error.hint().unwrap().contains("`dnsZone: "), "{:?}", error.hint());
    }
}
