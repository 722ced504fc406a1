//! The only place that writes to the terminal: data to stdout, talk to stderr.

use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

use crate::spec::yaml;

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// As YAML documents.
    Yaml,
    /// As JSON.
    Json,
}

/// Writes data to stdout. A reader that has seen enough (`| head`) is no failure.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("could not write the output")
        }
        _ => Ok(()),
    }
}

/// Writes a line of data to stdout.
pub(crate) fn print_line(line: &str) -> anyhow::Result<()> {
    print(&format!("{line}\n"))
}

/// Writes JSON, indented, to stdout.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("could not write the output as JSON")?;
    print_line(&text)
}

/// Writes documents to stdout: YAML separated by `---`; as JSON one as itself, several as a list.
pub(crate) fn print_documents<T: Serialize>(documents: &[T], format: Format) -> anyhow::Result<()> {
    match (format, documents) {
        (Format::Json, [document]) => print_json(document),
        (Format::Json, documents) => print_json(&documents),
        (Format::Yaml | Format::Table, documents) => {
            print(&documents.iter().map(yaml::to_yaml).collect::<Vec<_>>().join("---\n"))
        }
    }
}

/// Says something to the user, on stderr. There is nobody to tell when that fails.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether stderr shows colours: it is a terminal, and the user hasn't turned them off (<https://no-color.org>).
pub(crate) fn colours_on_stderr() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A table as kops prints them: columns end at multiples of eight, filled with tabs, so that both eyes and `cut` can
/// read it. Rows are sorted.
#[derive(Debug)]
pub(crate) struct Table<const COLUMNS: usize> {
    header: [&'static str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
    sorted: bool,
}

/// Where a tab goes to.
const TAB: usize = 8;

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows.
    pub(crate) fn new(header: [&'static str; COLUMNS]) -> Self {
        Self { header, rows: Vec::new(), sorted: true }
    }

    /// Keeps the rows in the order in which they come.
    pub(crate) fn in_order(mut self) -> Self {
        self.sorted = false;
        self
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }

    /// The table's lines, header first.
    pub(crate) fn render(mut self) -> String {
        if self.sorted {
            self.rows.sort();
        }
        let header = self.header.map(str::to_owned);
        let rows: Vec<&[String; COLUMNS]> = std::iter::once(&header).chain(&self.rows).collect();
        let mut text = String::new();
        for row in &rows {
            for (column, cell) in row.iter().enumerate() {
                text.push_str(cell);
                if column + 1 < COLUMNS {
                    let widest = rows.iter().map(|row| width(&row[column])).max().unwrap_or_default();
                    let stops = (widest + 1).div_ceil(TAB);
                    text.extend(std::iter::repeat_n('\t', stops - width(cell) / TAB));
                }
            }
            text.push('\n');
        }
        text
    }
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_end_at_the_same_tab_stop_and_rows_are_sorted() {
        let mut table = Table::new(["NAME", "ROLE", "MIN"]);
        table.row(["nodes-us-east-1b".to_owned(), "Node".to_owned(), "1".to_owned()]);
        table.row(["a".to_owned(), "ControlPlane".to_owned(), "1".to_owned()]);
        assert_eq!(
            table.render(),
            "NAME\t\t\tROLE\t\tMIN\na\t\t\tControlPlane\t1\nnodes-us-east-1b\tNode\t\t1\n"
        );
    }
}
