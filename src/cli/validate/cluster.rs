//! `windlass validate cluster`: says whether a cluster is healthy.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use indicatif::ProgressBar;
use serde::Serialize;
use windlass_bootstrap::config::Role;

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::output::{self, Format, Table};
use crate::health::{Check, CheckKind, NodeLine, Observer, Outcome, Report, Unanswered, evaluate};
use crate::kube::Kubernetes;
use crate::ops::RunningCluster;
use crate::spec::cluster::Cluster;
use crate::spec::to_yaml;

/// `windlass validate cluster`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Wait so long for the cluster to become healthy, such as 10m
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    /// How many times in a row the cluster must be found healthy; more than once needs --wait
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// The longest pause between two looks; what changes in Kubernetes is seen at once
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Tolerate so many nodes that are not ready; masters always must be
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_unready_nodes: usize,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Args {
    /// What whoever changed a cluster goes on with.
    pub(in crate::cli) fn waiting(cluster: String, wait: Duration) -> Self {
        let interval = Duration::from_secs(10);
        let (count, max_unready_nodes, output) = (1, 0, Format::default());
        Self { cluster: Some(cluster), wait: Some(wait), count, interval, max_unready_nodes, output }
    }
}

/// Runs `windlass validate cluster`.
pub(in crate::cli) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    if args.count > 1 && args.wait.is_none() {
        let refusal = Refusal::new(format!("--count {} needs --wait", args.count));
        return Err(refusal.hint("add --wait 10m").into());
    }
    let running = context.running_cluster(args.cluster.as_deref()).await?;
    // What nobody has begun to make doesn't come by waiting.
    let begun = running.was_begun().await?;
    let wait = args.wait.filter(|_| begun);
    let progress = wait.map(|_| Progress::new());
    let report = watch(&running, &args, wait.unwrap_or_default(), progress).await?;
    match args.output {
        Format::Table => output::print(&table(&running.cluster, &report))?,
        Format::Yaml => output::print(&to_yaml(&Document::new(&running.cluster, &report)))?,
        Format::Json => output::print_json(&Document::new(&running.cluster, &report))?,
    }
    if report.is_healthy() {
        return Ok(Exit::Done);
    }
    for hint in hints(&report) {
        output::say(&format!("hint: {hint}"));
    }
    if !begun {
        output::say(&format!(
            "nothing of `{}` has been applied yet, so that there is nothing to wait for",
            running.cluster.name
        ));
    } else if let Some(wait) = wait {
        output::say(&format!("the cluster is not healthy after {}", humantime::format_duration(wait)));
    }
    Ok(Exit::Pending)
}

/// Looks until the cluster has been healthy often enough or the time is up, and returns what was seen last.
async fn watch(
    running: &RunningCluster,
    args: &Args,
    wait: Duration,
    mut progress: Option<Progress>,
) -> anyhow::Result<Report> {
    let deadline = Instant::now() + wait;
    let time_left = || deadline.saturating_duration_since(Instant::now());
    let mut observer =
        Observer::new(running.clients.clone(), running.store().clone(), running.state_view().await?);
    let mut api = running.connect().await?;
    let mut healthy = 0;
    loop {
        let connection: Result<&Kubernetes, Unanswered> = api.as_ref().map_err(Clone::clone);
        let snapshot = match observer.look(&running.cluster, connection).await {
            Ok(snapshot) => snapshot,
            Err(error) if error.is_transient() && !time_left().is_zero() => {
                if let Some(progress) = &mut progress {
                    progress.trouble(&error);
                }
                tokio::time::sleep(args.interval.min(time_left())).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let report =
            evaluate(&running.cluster, &snapshot).tolerating(args.max_unready_nodes, &running.cluster);
        if let Some(progress) = &mut progress {
            progress.show(&report);
        }
        if report.is_healthy() && !snapshot.cloud_is_new {
            // What AWS said some seconds ago doesn't make a cluster healthy.
            observer.forget();
            continue;
        }
        healthy = if report.is_healthy() { healthy + 1 } else { 0 };
        if healthy >= args.count || time_left().is_zero() {
            return Ok(report);
        }
        let pause = args.interval.min(time_left());
        if report.is_healthy() {
            tokio::time::sleep(pause).await;
        } else {
            observer.change(api.as_ref().ok(), pause).await;
        }
        if api.is_err() {
            api = running.connect().await?;
        }
    }
}

/// Says on stderr what has changed since the last look: on a terminal in one line that is drawn over, else in a line
/// for every check that began or ceased to be in the way.
#[derive(Debug)]
struct Progress {
    begun: Instant,
    bar: Option<ProgressBar>,
    said: Problems,
}

impl Progress {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self { begun: Instant::now(), bar, said: BTreeMap::new() }
    }

    fn show(&mut self, report: &Report) {
        let problems: Problems = report
            .problems()
            .map(|check| ((check.kind.name(), check.name.clone()), Said::of(check)))
            .collect();
        if let Some(bar) = &self.bar {
            let first = problems.values().next().map(|said| format!(", first: {}", said.why));
            let first = first.unwrap_or_default();
            let all = report.checks.len();
            bar.set_message(format!("{} of {all} checks pass{first}", all - problems.len().min(all)));
        } else {
            for line in changes(&self.said, &problems) {
                output::say(&format!("{:>5}s  {line}", self.begun.elapsed().as_secs()));
            }
        }
        self.said = problems;
    }

    fn trouble(&mut self, error: &dyn std::error::Error) {
        let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
        match &self.bar {
            Some(bar) => bar.set_message(format!("{error}{cause}")),
            None => output::say(&format!("{:>5}s  {error}{cause}", self.begun.elapsed().as_secs())),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

type Problems = BTreeMap<(&'static str, String), Said>;

/// What is told of a check while it is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    why: String,
    /// What makes it news: an API, nodes and pods on their way pass through states that concern nobody who waits, so
    /// that one of them is told once, and again only when it fails. How far a machine's boot is, is told step by step.
    news: String,
}

impl Said {
    fn of(check: &Check) -> Self {
        let why = why(check).to_owned();
        let on_its_way = matches!(
            (check.kind, &check.outcome),
            (CheckKind::Api | CheckKind::Node | CheckKind::Pod, Outcome::Wait { .. })
        );
        Self { news: if on_its_way { String::new() } else { why.clone() }, why }
    }
}

/// What to tell of two looks: what is newly or otherwise in the way, and what isn't any more.
fn changes(before: &Problems, now: &Problems) -> Vec<String> {
    let told = |check| before.get(check).map(|said: &Said| &said.news);
    let new = now.iter().filter(|(check, said)| told(*check) != Some(&said.news));
    let gone = before.keys().filter(|check| !now.contains_key(*check));
    new.map(|(_, said)| said.why.clone())
        .chain(gone.map(|(kind, name)| format!("{kind} {name} is fine")))
        .collect()
}

fn why(check: &Check) -> &str {
    match &check.outcome {
        Outcome::Pass => "",
        Outcome::Wait { why } | Outcome::Fail { why, .. } => why,
    }
}

/// The hints of the checks that failed, each once.
fn hints(report: &Report) -> Vec<&str> {
    let mut hints = Vec::new();
    for check in report.problems() {
        if let Outcome::Fail { hint: Some(hint), .. } = &check.outcome
            && !hints.contains(&hint.as_str())
        {
            hints.push(hint.as_str());
        }
    }
    hints
}

/// As kops prints it.
fn table(cluster: &Cluster, report: &Report) -> String {
    let mut groups = Table::new(["NAME", "ROLE", "MACHINETYPE", "MIN", "MAX", "SUBNETS"]);
    for group in &cluster.instance_groups {
        let (min_size, max_size) = group.sizes();
        let subnets: Vec<&str> = group.subnets().iter().map(|subnet| subnet.name.as_str()).collect();
        groups.row([
            group.name.clone(),
            match group.role() {
                Role::ControlPlane => "ControlPlane".to_owned(),
                Role::Node => "Node".to_owned(),
                Role::Bastion => "Bastion".to_owned(),
                Role::ApiServer => "APIServer".to_owned(),
            },
            group.machine_type.clone(),
            min_size.to_string(),
            max_size.to_string(),
            subnets.join(","),
        ]);
    }
    let mut nodes = Table::new(["NAME", "ROLE", "READY"]);
    for node in &report.nodes {
        nodes.row([node.name.clone(), node.role.to_owned(), node.status.to_owned()]);
    }
    let (groups, nodes) = (groups.render(), nodes.render());
    let name = &cluster.name;
    let verdict = if report.is_healthy() {
        format!("Your cluster {name} is ready")
    } else {
        let mut errors = Table::new(["KIND", "NAME", "MESSAGE"]);
        for check in report.problems() {
            errors.row([check.kind.name().to_owned(), check.name.clone(), why(check).to_owned()]);
        }
        format!("VALIDATION ERRORS\n{}\nValidation Failed", errors.render())
    };
    let backup = report.backup.as_ref().map(|backup| format!("BACKUP OF ETCD\n{backup}\n\n"));
    let backup = backup.unwrap_or_default();
    format!(
        "Validating cluster {name}\n\nINSTANCE GROUPS\n{groups}\nNODE STATUS\n{nodes}\n{backup}{verdict}\n"
    )
}

/// The report as data: kops's fields, and what windlass knows besides.
#[derive(Debug, Serialize)]
struct Document<'a> {
    cluster: &'a str,
    ready: bool,
    failures: Vec<Failure<'a>>,
    nodes: &'a [NodeLine],
    /// When a backup of etcd was last proven, and what was in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    r#type: &'static str,
    name: &'a str,
    message: &'a str,
    instance_group: Option<&'a str>,
    /// `waiting` if it is expected to pass by itself, else `failed`.
    state: &'static str,
    hint: Option<&'a str>,
}

impl<'a> Document<'a> {
    fn new(cluster: &'a Cluster, report: &'a Report) -> Self {
        let failure = |check: &'a Check| {
            let (state, hint) = match &check.outcome {
                Outcome::Fail { hint, .. } => ("failed", hint.as_deref()),
                Outcome::Pass | Outcome::Wait { .. } => ("waiting", None),
            };
            Failure {
                r#type: check.kind.name(),
                name: &check.name,
                message: why(check),
                instance_group: check.instance_group.as_deref(),
                state,
                hint,
            }
        };
        Self {
            cluster: &cluster.name,
            ready: report.is_healthy(),
            failures: report.problems().map(failure).collect(),
            nodes: &report.nodes,
            backup: report.backup.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::assets::sample;

    #[test]
    fn a_healthy_cluster_is_shown_as_kops_shows_it() {
        let expected = concat!(
            "Validating cluster demo.example.com\n\nINSTANCE GROUPS\n",
            "NAME\t\t\t\tROLE\t\tMACHINETYPE\tMIN\tMAX\tSUBNETS\n",
            "control-plane-us-east-1a\tControlPlane\tt3.medium\t1\t1\tus-east-1a\n",
            "nodes-us-east-1a\t\tNode\t\tt3.medium\t2\t2\tus-east-1a\n",
            "\nNODE STATUS\nNAME\tROLE\t\tREADY\ni-0a\tcontrol-plane\tTrue\n",
            "\nYour cluster demo.example.com is ready\n",
        );
        snapbox::assert_data_eq!(
            table(&sample::cluster(), &report(&[])),
            snapbox::Data::text(expected).raw()
        );
    }

    #[test]
    fn what_is_in_the_way_is_listed_and_hinted_at() {
        let report = report(&[waiting(), failing(), failing()]);
        let table = table(&sample::cluster(), &report);
        let (_, errors) = table.split_once("VALIDATION ERRORS\n").unwrap();
        assert_eq!(
            errors,
            "KIND\tNAME\tMESSAGE\nMachine\ti-0b\tit boots\nPod\tdns\tit crashes\nPod\tdns\tit crashes\n\nValidation Failed\n"
        );
        assert_eq!(hints(&report), ["look at it"]);
    }

    #[test]
    fn as_data_the_fields_are_those_of_kops_and_more() {
        let report = report(&[waiting(), failing()]);
        let data = serde_json::to_value(Document::new(&sample::cluster(), &report)).unwrap();
        assert_eq!(
            data,
            json!({
                "cluster": "demo.example.com", "ready": false,
                "failures": [
                    {"type": "Machine", "name": "i-0b", "message": "it boots", "instanceGroup": "nodes-us-east-1a",
                     "state": "waiting", "hint": null},
                    {"type": "Pod", "name": "dns", "message": "it crashes", "instanceGroup": null, "state": "failed",
                     "hint": "look at it"},
                ],
                "nodes": [{"name": "i-0a", "zone": "us-east-1a", "role": "control-plane", "hostname": "i-0a",
                           "status": "True"}],
            })
        );
    }

    #[test]
    fn a_look_tells_only_what_is_new() {
        let said = |why: &str| Said { why: why.to_owned(), news: why.to_owned() };
        let problems = |of: &[(&'static str, &str, &str)]| -> Problems {
            of.iter().map(|(kind, name, why)| ((*kind, (*name).to_owned()), said(why))).collect()
        };
        let before =
            problems(&[("Node", "a", "not ready"), ("Node", "b", "not ready"), ("Pod", "c", "pending")]);
        let now = problems(&[("Node", "a", "not ready"), ("Pod", "c", "crashes")]);
        assert_eq!(changes(&before, &now), ["crashes", "Node b is fine"]);
        assert!(changes(&now, &now).is_empty());
    }

    #[test]
    fn a_pod_on_its_way_is_told_once_and_again_when_it_fails() {
        let pod = |outcome| Check { kind: CheckKind::Pod, outcome, ..waiting() };
        let wait = |why: &str| Outcome::Wait { why: why.to_owned() };
        let fail = |why: &str| Outcome::Fail { why: why.to_owned(), hint: None };
        let seen = |check: Check| Problems::from([(("Pod", "dns".to_owned()), Said::of(&check))]);
        let looks = ["", "pending", "pulls", "crashes", "crashes"].map(|why| match why {
            "" => Problems::new(),
            "crashes" => seen(pod(fail(why))),
            why => seen(pod(wait(why))),
        });
        let told: Vec<_> = looks.windows(2).flat_map(|pair| changes(&pair[0], &pair[1])).collect();
        assert_eq!(told, ["pending", "crashes"]);
        // A boot's steps are what the reader waits for.
        let booting = |why: &str| seen(Check { outcome: wait(why), ..waiting() });
        assert_eq!(changes(&booting("at a"), &booting("at b")), ["at b"]);
    }

    fn report(problems: &[Check]) -> Report {
        let fine = Check { outcome: Outcome::Pass, ..waiting() };
        let node = NodeLine {
            name: "i-0a".to_owned(),
            zone: "us-east-1a".to_owned(),
            role: "control-plane",
            hostname: "i-0a".to_owned(),
            status: "True",
        };
        Report { checks: problems.iter().cloned().chain([fine]).collect(), nodes: vec![node], backup: None }
    }

    fn waiting() -> Check {
        Check {
            kind: CheckKind::Machine,
            name: "i-0b".to_owned(),
            instance_group: Some("nodes-us-east-1a".to_owned()),
            outcome: Outcome::Wait { why: "it boots".to_owned() },
        }
    }

    fn failing() -> Check {
        let hint = Some("look at it".to_owned());
        Check {
            kind: CheckKind::Pod,
            name: "dns".to_owned(),
            instance_group: None,
            outcome: Outcome::Fail { why: "it crashes".to_owned(), hint },
        }
    }
}
