//! What is wrong with a specification: every problem at once, each where it stands and with what to do.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The document it is in, when that is known.
    pub object: Option<Box<ObjectId>>,
    /// The field, such as `spec.subnets[1].cidr`; empty when it is about a whole document or file.
    pub path: String,
    /// What is wrong, in lower case, with the offending value.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where it stands, when the specification came from a file.
    pub location: Option<Box<Location>>,
    /// Whether the text that it is about is a secret, which must not be shown.
    pub secret: bool,
}

/// Names a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// `Cluster`, `InstanceGroup` or `SSHCredential`.
    pub kind: String,
    /// As its metadata says it.
    pub name: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file's name.
    pub source: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The file's text.
    pub text: Arc<str>,
    /// The bytes of `text` that are meant.
    pub span: Range<usize>,
}

impl Problem {
    /// A problem with a field.
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            object: None,
            path: path.into(),
            message: message.into(),
            hint: None,
            location: None,
            secret: false,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps the text that it is about from being shown.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Says in which document it is.
    #[must_use]
    pub fn of(mut self, object: &ObjectId) -> Self {
        self.object = Some(Box::new(object.clone()));
        self
    }

    /// The first line of what is shown: `file:line:column: field.path: message`, or with the document's kind and
    /// name where there is no file.
    pub fn headline(&self) -> String {
        let place = match (&self.location, &self.object) {
            (Some(location), _) => format!("{}:{}:{}: ", location.source, location.line, location.column),
            (None, Some(object)) => format!("{} {}: ", object.kind, object.name),
            (None, None) => String::new(),
        };
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        format!("{place}{path}{}", self.message)
    }

    fn write(&self, formatter: &mut fmt::Formatter<'_>, renderer: &Renderer) -> fmt::Result {
        writeln!(formatter, "{}", self.headline())?;
        if let Some(location) = self.location.as_ref().filter(|_| !self.secret) {
            writeln!(formatter, "{}", location.snippet(renderer))?;
        }
        if let Some(hint) = &self.hint {
            writeln!(formatter, "  hint: {hint}")?;
        }
        Ok(())
    }
}

/// How much of one line a snippet shows before and after what is meant.
const SNIPPET_WIDTH: usize = 200;

impl Location {
    fn snippet(&self, renderer: &Renderer) -> String {
        let (start, line, span) = self.window();
        let snippet = Snippet::source(line.replace('\t', " "))
            .line_start(start)
            .annotation(AnnotationKind::Primary.span(span));
        let report = [Group::with_level(Level::ERROR).element(snippet)];
        renderer.render(&report).lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }

    /// The line that is meant, its number, and what is meant in it; only a part of a line without end.
    fn window(&self) -> (usize, &str, Range<usize>) {
        let text = &*self.text;
        let start = self.span.start.min(text.len());
        let first = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let last = text[start..].find(['\n', '\r']).map_or(text.len(), |newline| start + newline);
        let first = boundary(text, first.max(start.saturating_sub(SNIPPET_WIDTH)));
        let last = boundary(text, last.min(start + SNIPPET_WIDTH)).max(start);
        let end = self.span.end.clamp(start, last);
        (self.line, &text[first..last], start - first..end - first)
    }
}

/// The nearest character boundary at or before an index.
fn boundary(text: &str, mut index: usize) -> usize {
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// Everything that is wrong. Never empty when it is returned as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Puts problems in the order in which they stand in files; those without a place come last.
    pub(super) fn sort(&mut self) {
        self.0.sort_by(|one, other| {
            let place = |problem: &Problem| {
                problem.location.as_ref().map(|location| (location.source.clone(), location.span.start))
            };
            let (one, other) = (place(one), place(other));
            one.is_none().cmp(&other.is_none()).then(one.cmp(&other))
        });
    }

    /// `value`, unless there is a problem.
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Shows all of them, with snippets and hints, in colour if wanted.
    pub fn render(&self, colour: bool) -> String {
        struct Shown<'a>(&'a Problems, Renderer);
        impl fmt::Display for Shown<'_> {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                for (index, problem) in self.0.0.iter().enumerate() {
                    if index > 0 {
                        writeln!(formatter)?;
                    }
                    problem.write(formatter, &self.1)?;
                }
                Ok(())
            }
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        Shown(self, renderer.decor_style(DecorStyle::Ascii)).to_string()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Problems {}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        self.0.extend(problems);
    }
}
