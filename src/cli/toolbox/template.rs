//! `windlass toolbox template`: reads templates and values, and prints what `create -f` and `replace -f` take.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args as ClapArgs};

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::{files, output};
use crate::spec::template::{self, Missing, Values};
use crate::spec::yaml::Source;

/// `windlass toolbox template`.
#[derive(Debug, ClapArgs)]
#[command(after_help = LANGUAGE)]
pub(crate) struct Args {
    /// A template, or a folder of templates
    #[arg(long, value_name = "FILE|FOLDER", required = true)]
    template: Vec<PathBuf>,
    /// Values in YAML; later files win
    #[arg(long, value_name = "FILE")]
    values: Vec<String>,
    /// Set a value: groups.nodes.size=3, zones=[us-east-1a,us-east-1b]
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Set a value that is a text, whatever it looks like
    #[arg(long, value_name = "PATH=TEXT")]
    set_string: Vec<String>,
    /// A folder of files that templates include by their paths in it
    #[arg(long, value_name = "FOLDER")]
    snippets: Vec<PathBuf>,
    /// Where to write; - for standard output
    #[arg(long, visible_alias = "out", value_name = "FILE", default_value = "-")]
    output: String,
    /// Whether a value that nobody gave is an error
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    fail_on_missing: bool,
    /// Write the YAML anew: indented alike, keys sorted, without comments
    #[arg(long)]
    format_yaml: bool,
}

const LANGUAGE: &str = "\
Templates are written in Tera's language (https://keats.github.io/tera), which is Jinja's:
  {{ clusterName }}                      the value of --name, or WINDLASS_CLUSTER_NAME
  {{ size | default(value=3) }}          a value that may be left out
  {% for zone in zones %} … {% endfor %}
  {% if spot %} … {% endif %}
  {% include \"nodes.yaml\" %}             a file of --snippets
  {{ text | quote }}, {{ map | to_yaml | indent }}, {{ list | to_json }}";

/// Runs `windlass toolbox template`.
pub(super) fn run(context: &Context, args: &Args) -> anyhow::Result<Exit> {
    let templates = templates(&args.template)?;
    let snippets = snippets(&args.snippets)?;
    let values = values(context, args)?;
    let missing = if args.fail_on_missing { Missing::Fails } else { Missing::IsEmpty };
    let mut texts = template::render(&templates, &snippets, &values, missing)?;
    if args.format_yaml {
        for (text, source) in texts.iter_mut().zip(&templates) {
            *text = template::format(&source.name, text)?;
        }
    }
    let text = template::join(&texts);
    if args.output == "-" {
        output::print(&text)?;
    } else {
        fs_err::write(&args.output, text)?;
    }
    Ok(Exit::Done)
}

fn values(context: &Context, args: &Args) -> anyhow::Result<Values> {
    let mut values = Values::new();
    for file in &args.values {
        values.add_file(&files::read(file)?)?;
    }
    for assignment in &args.set {
        values.set(assignment)?;
    }
    for assignment in &args.set_string {
        values.set_string(assignment)?;
    }
    if let Some(name) = context.named_cluster(None)? {
        values.default("clusterName", &name);
    }
    Ok(values)
}

fn templates(paths: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in paths {
        let files = if path.is_dir() { files_below(path)? } else { vec![path.clone()] };
        if files.is_empty() {
            return Err(Refusal::new(format!("there is no template in {}", path.display())).into());
        }
        for file in files {
            sources.push(files::read(&file.display().to_string())?);
        }
    }
    Ok(sources)
}

fn snippets(folders: &[PathBuf]) -> anyhow::Result<Vec<Source>> {
    let mut sources = Vec::new();
    for folder in folders {
        for file in files_below(folder)? {
            let name = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
            let Source { text, .. } = files::read(&file.display().to_string())?;
            sources.push(Source { name, text });
        }
    }
    Ok(sources)
}

/// The files below a folder, sorted; not those whose names begin with a dot.
fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut entries = fs_err::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs_err::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}
