//! The API's name in a hosted zone: what is written, and what it means.

use super::complete;
use crate::spec::cluster::{Api, ApiName, DnsZone, Visibility, is_in_zone};
use crate::spec::{CreateOptions, create, to_yaml};

const GOOD: &str = include_str!("good.yaml");

/// The good specification with other texts in some places.
fn changed(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(GOOD.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
}

/// What it says then about the API.
fn api(changes: &[(&str, &str)]) -> Api {
    complete(&changed(changes)).unwrap_or_else(|problems| panic!("{problems}")).api
}

fn named(name: &str, zone: DnsZone) -> ApiName {
    ApiName { name: name.to_owned(), zone, visibility: Visibility::Public }
}

const UNTYPED: (&str, &str) = ("  topology:\n    dns:\n      type: None\n", "");
const UNNAMED: (&str, &str) = ("  masterPublicName: api.demo.example.com\n", "");

#[test]
fn without_a_zone_the_api_has_an_address_and_no_name() {
    let api = api(&[]);
    assert_eq!((api.elastic_ip, api.dns), (true, None));
}

#[test]
fn a_zone_gives_the_api_a_name_for_its_elastic_ip() {
    let expected = named("api.demo.example.com", DnsZone::Name("example.com".to_owned()));
    for ways in ["    dns: {}\n  dnsZone: example.com", "    dns: {}\n  dnsZone: example.com."] {
        let api = api(&[UNTYPED, UNNAMED, ("    elasticIP: {}", ways)]);
        assert_eq!((api.elastic_ip, api.dns), (true, Some(expected.clone())), "{ways}");
    }
    let only_a_zone = api(&[UNTYPED, UNNAMED, ("  api:\n    elasticIP: {}", "  dnsZone: example.com")]);
    assert_eq!((only_a_zone.elastic_ip, only_a_zone.dns), (true, Some(expected)));
}

#[test]
fn a_zone_may_be_an_id_and_the_name_another_one() {
    for id in ["Z0123456789ABC", "/hostedzone/Z0123456789ABC"] {
        let dns = format!("    dns: {{}}\n  dnsZone: {id}");
        let api = api(&[
            UNTYPED,
            ("PublicName: api.demo.example.com", "PublicName: k8s.example.org"),
            ("    elasticIP: {}", &dns),
        ]);
        assert!(api.certificate_names("us-east-1").contains(&"k8s.example.org".to_owned()));
        assert_eq!(api.dns.unwrap(), named("k8s.example.org", DnsZone::Id("Z0123456789ABC".to_owned())));
    }
}

#[test]
fn a_zone_that_can_t_hold_the_name_is_told_at_its_place() {
    let told = |zone: &str| {
        let ways = format!("    dns: {{}}{zone}");
        let problems = complete(&changed(&[UNTYPED, ("    elasticIP: {}", &ways)])).unwrap_err().0;
        assert!(problems.iter().all(|problem| problem.hint.is_some()), "{problems:?}");
        problems
            .into_iter()
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect::<Vec<_>>()
    };
    let of_zone = |message: &str| vec![format!("spec.dnsZone: {message}")];
    for zone in ["example.org", "api.demo.example.com", "ample.com"] {
        let expected = format!("the API's name `api.demo.example.com` is not in the zone `{zone}`");
        assert_eq!(told(&format!("\n  dnsZone: {zone}")), of_zone(&expected));
    }
    for zone in ["z0123", "example", "/hostedzone/"] {
        let expected = format!("`{zone}` is neither the name nor the id of a hosted zone");
        assert_eq!(told(&format!("\n  dnsZone: {zone}")), of_zone(&expected));
    }
    assert_eq!(told("\n  dnsZone: Example.com"), of_zone("`Example.com` is not a DNS name"));
}

#[test]
fn without_a_zone_the_one_that_holds_the_name_is_meant() {
    let nearest = |name: &str| (true, Some(named(name, DnsZone::Nearest)));
    for changes in [
        [UNTYPED, ("    elasticIP: {}", "    dns: {}")],
        [("      type: None", "      type: Public"), ("    elasticIP: {}", "    dns: {}")],
        [("      type: None", "      type: Public"), ("  api:\n    elasticIP: {}\n", "")],
    ] {
        let found = api(&changes);
        assert_eq!((found.elastic_ip, found.dns), nearest("api.demo.example.com"), "{changes:?}");
    }
    let other = ("PublicName: api.demo.example.com", "PublicName: k8s.example.org");
    let found = api(&[UNTYPED, other, ("    elasticIP: {}", "    dns: {}")]);
    assert!(found.certificate_names("us-east-1").contains(&"k8s.example.org".to_owned()));
    assert_eq!((found.elastic_ip, found.dns), nearest("k8s.example.org"));
    // An address and a name for the certificate: nothing is published.
    let found = api(&[]);
    assert_eq!((found.elastic_ip, found.dns), (true, None));
    let problems = complete(&changed(&[("      type: None", "      type: Public")])).unwrap_err().0;
    assert_eq!(problems[0].path, "spec.topology.dns.type");
    assert_eq!(problems[0].message, "`Public` publishes the API's name, and `api` asks for no name");
}

#[test]
fn a_name_in_a_private_zone_leads_to_an_internal_load_balancer_and_never_to_elastic_ips() {
    let private = ("      type: None", "      type: Private");
    let seen_by = |found: &Api| {
        let balancer = found.load_balancer.as_ref().map(|balancer| balancer.internal);
        (found.dns.as_ref().map(|dns| dns.visibility), found.elastic_ip, balancer)
    };
    let internal = (Some(Visibility::Private), false, Some(true));
    let left_out = ("  api:\n    elasticIP: {}\n", "");
    let written = |ways: &'static str| ("    elasticIP: {}", ways);
    for ways in [left_out, written("    loadBalancer: {}"), written("    loadBalancer: {type: Internal}")] {
        assert_eq!(seen_by(&api(&[private, ways])), internal, "{ways:?}");
    }
    let public = api(&[private, ("    elasticIP: {}", "    loadBalancer: {type: Public}")]);
    assert_eq!(seen_by(&public), (Some(Visibility::Private), false, Some(false)));
    for (ways, place) in [("dns", "spec.api.dns"), ("elasticIP", "spec.topology.dns.type")] {
        let written = format!("    {ways}: {{}}");
        let problems = complete(&changed(&[private, ("    elasticIP: {}", &written)])).unwrap_err().0;
        let places: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(places, [place], "{problems:?}");
        assert!(problems[0].hint.as_ref().unwrap().contains("type: Internal"), "{problems:?}");
    }
}

#[test]
fn a_name_that_only_ends_in_the_same_letters_is_in_another_zone() {
    assert!(is_in_zone("api.demo.example.com", "example.com"));
    for zone in ["ample.com", "api.demo.example.com", "example.org", "x.api.demo.example.com"] {
        assert!(!is_in_zone("api.demo.example.com", zone), "{zone}");
    }
    assert!(!is_in_zone(".example.com", "example.com"));
}

#[test]
fn create_cluster_writes_names_as_kops_does() {
    let options = |dns: Option<&str>, zone: Option<&str>| CreateOptions {
        name: "demo.example.com".to_owned(),
        zones: vec!["us-east-1a".to_owned()],
        dns: dns.map(str::to_owned),
        dns_zone: zone.map(str::to_owned),
        ..CreateOptions::default()
    };
    let zone = Some("example.com");
    let told = |dns, zone| {
        let documents = create(&options(dns, zone)).unwrap();
        let written = to_yaml(&documents.cluster.spec.api).replace('\n', " ");
        let completed = documents.resolve();
        let completed = completed.map(|cluster| cluster.api.dns.map(|api| api.name));
        (written.trim().to_owned(), completed.map_err(|problems| problems.0[0].path.clone()))
    };
    let name = Ok(Some("api.demo.example.com".to_owned()));
    assert_eq!(told(None, zone), ("dns: {}".to_owned(), name.clone()));
    assert_eq!(told(Some("public"), zone), ("dns: {}".to_owned(), name.clone()));
    assert_eq!(told(None, None), ("elasticIP: {}".to_owned(), Ok(None)));
    assert_eq!(told(Some("none"), None), ("elasticIP: {}".to_owned(), Ok(None)));
    let refused = |path: &str| Err(path.to_owned());
    assert_eq!(told(Some("public"), None), told(None, zone));
    let public_name = |dns, zone| create(&options(dns, zone)).unwrap().cluster.spec.master_public_name;
    assert_eq!(public_name(None, zone).as_deref(), Some("api.demo.example.com"));
    assert_eq!(public_name(Some("public"), None).as_deref(), Some("api.demo.example.com"));
    assert_eq!(public_name(None, None), None);
    let behind_a_load_balancer = |kind: &str| format!("loadBalancer:   class: Network   type: {kind}");
    let (written, named) = told(Some("private"), zone);
    assert_eq!((written, named), (behind_a_load_balancer("Internal"), name.clone()));
    assert_eq!(told(Some("private"), None), told(Some("private"), zone));
    assert_eq!(public_name(Some("private"), zone), None);
    assert_eq!(told(Some("none"), zone).1, refused("spec.topology.dns.type"));
}
