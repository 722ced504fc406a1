//! The API's name in a hosted zone: made, changed and deleted with its cluster, and never taken from somebody else.

use aws_sdk_route53::types::{
    AliasTarget, Change, ChangeAction, ChangeBatch, HostedZoneConfig, ResourceRecord, ResourceRecordSet,
    RrType, Vpc, VpcRegion,
};
use windlass::aws::hosted_zone;
use windlass::plan::PlanError;
use windlass::spec::v1alpha2::{AccessSpec, DnsAccessSpec, DnsType};

use super::*;

const API: &str = "api.demo.example.com";
const INTERNAL: &str = "api.internal.demo.example.com";

/// The master's stable private address.
const MASTER: &str = "172.20.0.10";

/// A region with an empty cluster, whose specification names a hosted zone.
async fn named_world() -> (World, String) {
    let mut world = World::new().await;
    let zone = zone(&world, "example.com", "one").await;
    world.documents.cluster = named(Some("example.com"), None);
    (world, zone)
}

/// The specification with a name of the API in a hosted zone: in the nearest one where none is written, the usual name where
/// no other is.
fn named(zone: Option<&str>, name: Option<&str>) -> v1alpha2::Cluster {
    let mut cluster = specification().cluster;
    let spec = &mut cluster.spec;
    spec.api = Some(AccessSpec { dns: Some(DnsAccessSpec {}), ..AccessSpec::default() });
    spec.topology.get_or_insert_default().dns.get_or_insert_default().r#type = Some(DnsType::Public);
    spec.dns_zone = zone.map(str::to_owned);
    spec.master_public_name = name.map(str::to_owned);
    cluster
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
    [pair(API, address), pair(INTERNAL, MASTER)].concat()
}

/// The records of one name that is the cluster's.
fn pair(name: &str, leads_to: &str) -> [String; 2] {
    let mark = format!("heritage=windlass,windlass.dev/cluster={NAME},windlass.dev/region=us-east-1");
    [format!("{name}. A 60 {leads_to}"), format!("{name}. TXT 60 \"{mark}\"")]
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
        world.has_nothing_to_do().await;
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
        let again = world.plan().await;
        assert!(again.is_empty(), "{again}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn without_a_written_zone_the_name_is_in_the_public_zone_that_is_nearest_to_it() {
        let mut world = World::new().await;
        world.documents.cluster = named(None, None);
        let FactsError::HostedZone(error) = world.refusal().await else { panic!("another refusal") };
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
        let FactsError::HostedZone(error) = world.refusal().await else { panic!("another refusal") };
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
            let error = world.refusal().await;
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
        let mut internal = set(RrType::A, "192.0.2.1");
        internal.name = format!("{INTERNAL}.");
        change(&world, &zone, ChangeAction::Create, internal.clone()).await;
        let error = world.refusal().await.to_string();
        assert!(error.contains(&format!("`{INTERNAL}` is taken in the hosted zone")), "{error}");
        change(&world, &zone, ChangeAction::Delete, internal).await;
        assert!(!world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_master_s_address_is_told_from_an_elastic_ip_in_a_vpc_of_any_range() {
        let (mut world, zone) = named_world().await;
        let spec = &mut world.documents.cluster.spec;
        spec.network_cidr = Some("192.1.0.0/16".to_owned());
        for subnet in spec.subnets.iter_mut().flatten() {
            subnet.cidr = None;
        }
        world.update().await.succeeded();
        let all = records(&world, &zone).await;
        assert!(all.iter().any(|record| record.starts_with(&format!("{INTERNAL}. A 60 192.1."))), "{all:?}");
        world.has_nothing_to_do().await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_name_that_somebody_takes_after_the_plan_was_made_is_left_to_them() {
        let (world, zone) = named_world().await;
        let update = world.prepare().await.unwrap();
        change(&world, &zone, ChangeAction::Create, set(RrType::A, "192.0.2.1")).await;
        let outcome = world.apply(update).await.unwrap();
        let [failure] = outcome.summary.failed.as_slice() else { panic!("{:#?}", outcome.summary) };
        assert!(
            failure.error.to_string().ends_with("isn't this cluster's: A 192.0.2.1"),
            "{}",
            failure.error
        );
        let [address, mark] = pair(INTERNAL, MASTER);
        assert_eq!(records(&world, &zone).await, [format!("{API}. A 300 192.0.2.1"), address, mark]);
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
        assert!(
            outcome.plan.to_string().contains("- addresses                   192.0.2.1"),
            "{}",
            outcome.plan
        );
        assert_eq!(records(&world, &zone).await, ours(&world).await);

        change(&world, &zone, ChangeAction::Upsert, set(RrType::Txt, "\"mine\"")).await;
        assert!(matches!(world.refusal().await, FactsError::HostedZone(_)));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn the_name_follows_an_elastic_ip_that_was_made_anew() {
        let (world, zone) = named_world().await;
        world.update().await.succeeded();
        let desired = world.prepare().await.unwrap().prepared.desired;
        let before = records(&world, &zone).await;
        let answer = world.clients.ec2.describe_addresses().send().await.unwrap();
        let lost = answer.addresses()[0].allocation_id().unwrap();
        world.clients.ec2.release_address().allocation_id(lost).send().await.unwrap();
        // An update refuses to make it anew.
        let refused = world.try_plan().await.unwrap_err();
        assert!(matches!(refused, OperationError::Plan(PlanError::AddressLost(_))), "{refused}");
        let observed = world.observe().await;
        let plan = Plan::update(&desired, &observed).unwrap();
        assert_eq!(steps(&plan), ["create elastic-ip", "create record-set", "create record-set"], "{plan}");
        world.carry_out(plan, &desired, &observed).await.succeeded();
        let after = records(&world, &zone).await;
        assert_eq!(after, ours(&world).await);
        assert_ne!(after, before);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn killed_at_any_call_of_a_change_of_the_name_nothing_of_the_old_one_stays() {
        let (mut world, one) = named_world().await;
        let two = zone(&world, "example.com", "two").await;
        world.documents = specification();
        world.update().await.succeeded();
        let unnamed = specification().cluster;
        let other_name = format!("k8s.{API}");
        let (in_one, in_two) = (named(Some(&one), None), named(Some(&two), None));
        let renamed = named(Some(&two), Some(&other_name));
        let transitions = [
            (&unnamed, &in_one),
            (&in_one, &in_two),
            (&in_two, &renamed),
            (&renamed, &unnamed),
            (&in_one, &unnamed),
        ];
        for (from, to) in transitions {
            for kill_after in 0..6 {
                world.documents.cluster.clone_from(from);
                world.update().await.succeeded();
                world.documents.cluster.clone_from(to);
                world.update_killed_after(kill_after).await;
                world.update().await.succeeded();
                let again = world.plan().await;
                assert!(again.is_empty(), "killed after {kill_after} calls:\n{again}");
                let expected = if to.spec.dns_zone.is_some() { 4 } else { 0 };
                let left = [records(&world, &one).await, records(&world, &two).await].concat();
                let (from, to) = (&from.spec, &to.spec);
                let way = format!("{:?} to {:?}, killed after {kill_after}", from.dns_zone, to.dns_zone);
                assert_eq!(left.len(), expected, "{way}: {left:?}");
                let name = to.master_public_name.as_deref().unwrap_or(API);
                let names = [name, INTERNAL].map(|name| format!("{name}. "));
                let is_known = |record: &String| names.iter().any(|name| record.starts_with(name));
                assert!(left.iter().all(is_known), "{left:?}");
            }
        }
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_lost_reply_of_route_53_ends_in_one_record() {
        let (mut world, zone) = named_world().await;
        let (with_name, without) = (world.documents.cluster.clone(), specification().cluster);
        for after in [false, true] {
            let fault = json!({
                "service": "route53", "action": "^ChangeResourceRecordSets$", "code": "ServiceUnavailable",
                "status": 503, "times": 1, "rate": 1.0, "latencyMs": 0, "after": after,
            });
            for cluster in [&with_name, &without] {
                world.documents.cluster.clone_from(cluster);
                inject(&world, &fault).await;
                let outcome = world.update().await.succeeded();
                assert!(!outcome.events.is_empty(), "the call was not hit: {}", outcome.plan);
                assert!(world.plan().await.is_empty());
                let is_named = cluster.spec.dns_zone.is_some();
                let expected = if is_named { ours(&world).await } else { Vec::new() };
                assert_eq!(records(&world, &zone).await, expected);
            }
        }
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_zone_that_can_t_be_used_is_a_clear_error() {
        let (mut world, zone_id) = named_world().await;
        world.documents.cluster = named(Some(&zone_id), None);
        let plan = world.plan().await;
        assert!(steps(&plan).contains(&"create record-set".to_owned()), "{plan}");

        let second = zone(&world, "example.com", "two").await;
        let elsewhere = zone(&world, "example.org", "three").await;
        let vpc = world.clients.ec2.create_vpc().cidr_block("10.0.0.0/16").send().await.unwrap().vpc.unwrap();
        let vpc = Vpc::builder().vpc_region(VpcRegion::UsEast1).vpc_id(vpc.vpc_id().unwrap()).build();
        let private = HostedZoneConfig::builder().private_zone(true).build();
        let call =
            world.clients.route53.create_hosted_zone().name("demo.example.com").caller_reference("four");
        let private = call.hosted_zone_config(private).vpc(vpc).send().await.unwrap().hosted_zone.unwrap();
        let private = private.id().trim_start_matches("/hostedzone/");
        let is_private = |zone: &str| {
            format!("the hosted zone `{zone}` is private, and `topology.dns.type` asks for a public one")
        };
        let is_none = |zone: &str| format!("the account has no public hosted zone `{zone}`");
        let cases = [
            ("example.net", Some("k8s.example.net"), is_none("example.net")),
            ("Z0", None, is_none("Z0")),
            ("demo.example.com", None, is_private("demo.example.com")),
            (private, None, is_private(private)),
            (
                &elsewhere,
                None,
                format!("the name `{API}` is not in the hosted zone `example.org` ({elsewhere})"),
            ),
        ];
        for (zone, name, expected) in cases {
            world.documents.cluster = named(Some(zone), name);
            let error = world.refusal().await;
            assert_eq!(error.to_string(), expected);
            assert!(error.hint().is_some());
        }
        world.documents.cluster = named(Some("example.com"), None);
        let error = world.refusal().await;
        assert!(error.to_string().starts_with("there are 2 public hosted zones `example.com`: "), "{error}");
        assert!(error.to_string().contains(&zone_id) && error.to_string().contains(&second), "{error}");
        assert!(error.hint().unwrap().contains("`dnsZone: "), "{:?}", error.hint());
    }
}
