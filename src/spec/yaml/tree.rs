//! YAML text as a tree in which every node knows where it stands.
//!
//! serde_yaml says where something is only when it fails, and it stops there. To report every problem of a file at
//! once, and problems that are found long after reading, each node needs its place; the event parser gives it.

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::spec::problem::{Location, Problem};

/// How deep a document may be: the deepest that means anything is about ten.
const MAX_DEPTH: usize = 64;
/// How many nodes one file may have, aliases counted where they are used.
const MAX_NODES: usize = 1_000_000;
/// How large one file may be, in bytes.
pub(super) const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A node and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) content: Content,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A scalar: its text, and whether it was written without quotes.
    Scalar { text: String, plain: bool },
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping, in the order of the file.
    Mapping(Vec<Entry>),
}

/// An entry of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

impl Node {
    /// Whether it says nothing: `null`, `~`, or nothing at all.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.content {
            Content::Mapping(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// A file: its name, its text, and where its lines begin.
#[derive(Clone, Debug)]
pub(super) struct File {
    name: Arc<str>,
    text: Arc<str>,
    lines: Vec<usize>,
    /// For text that is not ASCII: the byte at which each character starts.
    characters: Option<Vec<usize>>,
}

impl File {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let characters = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
        Self { name: name.into(), text: text.into(), lines, characters }
    }

    /// Behind the last byte of the text, of which a byte order mark is no part.
    pub(super) fn end(&self) -> Range<usize> {
        self.text.len()..self.text.len()
    }

    /// The place of some bytes of the text.
    pub(super) fn locate(&self, span: Range<usize>) -> Location {
        let line = self.lines.partition_point(|start| *start <= span.start);
        let before = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.text.get(before..span.start).map_or(1, |text| text.chars().count() + 1);
        Location { source: self.name.clone(), line, column, text: self.text.clone(), span }
    }

    fn problem(&self, span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem { location: Some(Box::new(self.locate(span))), ..Problem::at("", message) }
    }

    /// The bytes of a span, which counts characters.
    fn bytes(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start.index());
        start..self.byte(span.end.index()).max(start)
    }

    fn byte(&self, character: usize) -> usize {
        let byte = match &self.characters {
            None => character,
            Some(starts) => starts.get(character).copied().unwrap_or(self.text.len()),
        };
        byte.min(self.text.len())
    }

    /// The documents of the file, up to the first place that is not YAML; and what is wrong with the YAML itself.
    pub(super) fn documents(&self) -> (Vec<Node>, Vec<Problem>) {
        if self.text.len() > MAX_BYTES {
            let message = format!("the file is larger than {} MiB", MAX_BYTES / 1024 / 1024);
            return (Vec::new(), vec![self.problem(0..0, message)]);
        }
        let mut builder = Builder::new(self);
        let text = self.text.clone();
        let mut parser = Parser::new_from_str(&text);
        while let Some(event) = parser.next_event() {
            match event {
                Ok((event, span)) => {
                    if builder.event(event, self.bytes(span)).is_break() {
                        break;
                    }
                }
                Err(error) => {
                    builder.problems.push(self.syntax(&error));
                    break;
                }
            }
        }
        (builder.documents, builder.problems)
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let at = self.byte(error.marker().index());
        let line = self.lines.partition_point(|start| *start <= at);
        for line in [line, line.saturating_sub(1)] {
            if let Some(tab) = self.tab(line) {
                return self.problem(tab..tab + 1, "a tab can't indent YAML").hint("indent with spaces");
            }
        }
        self.problem(at..at, format!("this is not YAML: {}", error.info()))
    }

    /// The tab in the indentation of a line.
    fn tab(&self, line: usize) -> Option<usize> {
        let start = *self.lines.get(line.checked_sub(1)?)?;
        let text = &self.text[start..];
        let indentation = text.len() - text.trim_start_matches([' ', '\t']).len();
        text[..indentation].find('\t').map(|tab| start + tab)
    }
}

/// A collection that is not closed yet.
struct Open {
    anchor: usize,
    span: Range<usize>,
    content: Content,
    /// The key whose value comes next.
    key: Option<(String, Range<usize>)>,
    /// The keys so far.
    keys: HashSet<String>,
}

struct Builder<'a> {
    file: &'a File,
    documents: Vec<Node>,
    problems: Vec<Problem>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn new(file: &'a File) -> Self {
        Self {
            file,
            documents: Vec::new(),
            problems: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
        }
    }

    fn event(&mut self, event: Event<'_>, span: Range<usize>) -> ControlFlow<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none_or(|tag| tag.suffix != "str");
                let content = Content::Scalar { text: text.into_owned(), plain };
                self.node(Node { span, content }, anchor)
            }
            Event::SequenceStart(anchor, _) => self.start(anchor, span, Content::Sequence(Vec::new())),
            Event::MappingStart(anchor, _) => self.start(anchor, span, Content::Mapping(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                ControlFlow::Continue(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {
                ControlFlow::Continue(())
            }
        }
    }

    fn start(&mut self, anchor: usize, span: Range<usize>, content: Content) -> ControlFlow<()> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("this is nested more than {MAX_DEPTH} levels deep");
            self.problems.push(self.file.problem(span, message));
            return ControlFlow::Break(());
        }
        self.open.push(Open { anchor, span, content, key: None, keys: HashSet::new() });
        ControlFlow::Continue(())
    }

    fn end(&mut self) -> ControlFlow<()> {
        let Some(open) = self.open.pop() else { return ControlFlow::Continue(()) };
        let end = match &open.content {
            Content::Sequence(items) => items.last().map(|item| item.span.end),
            Content::Mapping(entries) => entries.last().map(|entry| entry.value.span.end),
            Content::Scalar { .. } => None,
        };
        let span = open.span.start..end.unwrap_or(open.span.end).max(open.span.start);
        let content = match open.content {
            Content::Mapping(entries) if open.keys.contains(MERGE) => self.merge(entries, &open.keys),
            content => content,
        };
        self.node(Node { span, content }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, span: Range<usize>) -> ControlFlow<()> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            let message = "this alias stands inside of what it refers to";
            self.problems.push(self.file.problem(span, message));
            return ControlFlow::Break(());
        };
        self.nodes += count(&node);
        if depth(&node) + self.open.len() > MAX_DEPTH {
            let message = format!("this alias nests more than {MAX_DEPTH} levels deep");
            self.problems.push(self.file.problem(span, message));
            return ControlFlow::Break(());
        }
        self.node(Node { span, ..node }, 0)
    }

    /// Puts a complete node where it belongs.
    fn node(&mut self, node: Node, anchor: usize) -> ControlFlow<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("the file has more than {MAX_NODES} values");
            self.problems.push(self.file.problem(node.span, message).hint("mind aliases of aliases"));
            return ControlFlow::Break(());
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return ControlFlow::Continue(());
        };
        match (&mut open.content, open.key.take()) {
            (Content::Sequence(items), _) => items.push(node),
            (Content::Mapping(entries), Some((key, key_span))) => {
                entries.push(Entry { key, key_span, value: node });
            }
            (Content::Mapping(_), None) => self.key(node),
            (Content::Scalar { .. }, _) => {}
        }
        ControlFlow::Continue(())
    }

    /// Takes a node as the key of the entry that comes.
    fn key(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else { return };
        let Content::Scalar { text, .. } = node.content else {
            self.problems.push(self.file.problem(node.span.clone(), "a key must be a text"));
            open.key = Some((String::new(), node.span));
            return;
        };
        if !open.keys.insert(text.clone()) {
            let message = format!("the key `{text}` stands here twice");
            self.problems.push(self.file.problem(node.span.clone(), message).hint("remove one of them"));
        }
        open.key = Some((text, node.span));
    }

    /// Adds what `<<` refers to, as far as the mapping does not say it itself.
    fn merge(&mut self, entries: Vec<Entry>, keys: &HashSet<String>) -> Content {
        let (sources, mut entries): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.key == MERGE);
        let mut keys = keys.clone();
        for merge in sources {
            let sources = match merge.value.content {
                Content::Sequence(items) => items,
                content => vec![Node { span: merge.value.span, content }],
            };
            for source in sources {
                let Content::Mapping(merged) = source.content else {
                    let message = "`<<` merges mappings only";
                    self.problems.push(self.file.problem(source.span, message));
                    continue;
                };
                entries.extend(merged.into_iter().filter(|entry| keys.insert(entry.key.clone())));
            }
        }
        Content::Mapping(entries)
    }
}

/// The key that merges another mapping into this one.
const MERGE: &str = "<<";

fn count(node: &Node) -> usize {
    1 + match &node.content {
        Content::Scalar { .. } => 0,
        Content::Sequence(items) => items.iter().map(count).sum(),
        Content::Mapping(entries) => entries.iter().map(|entry| count(&entry.value)).sum(),
    }
}

/// How many levels a node has; documents are never deeper than [`MAX_DEPTH`], so this does not recurse far.
fn depth(node: &Node) -> usize {
    match &node.content {
        Content::Scalar { .. } => 0,
        Content::Sequence(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Content::Mapping(entries) => {
            1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or_default()
        }
    }
}
