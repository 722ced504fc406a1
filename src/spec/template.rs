//! Specifications from templates: templates in Tera's language, values in YAML.
//!
//! What comes out is YAML, not HTML, so nothing is escaped. A value that a template prints and nobody gave is an error
//! that names it.

use serde_json::{Map, Value};
use tera::{ErrorKind, Kwargs, State, Tera};
use thiserror::Error;

use super::path::{self, PathError, Segment};
use super::yaml::{self, Source};

/// How many values that nobody gave are filled in with nothing before giving up.
const MOST_MISSING: usize = 1000;

/// How often a template is filled to see whether it always comes out the same: two keys are in the same order by chance
/// once in 2¹⁶ times.
const ORDERS: usize = 16;

/// Why a template could not be filled.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// A file of values isn't one.
    #[error("the values in {file} can't be used: {reason}")]
    Values {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// There is no `=`.
    #[error("`{0}` is not of the form `path=value`")]
    Form(String),
    /// The path of a value can't be understood.
    #[error("the path can't be understood")]
    Path(#[from] PathError),
    /// An index is beyond the end of a list.
    #[error("`{path}`: there is no item {index} in a list of {length}")]
    Index {
        /// The path of the list.
        path: String,
        /// The index.
        index: usize,
        /// How many items there are.
        length: usize,
    },
    /// Two templates or snippets have the same name.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// A template is wrong, or lacks a value.
    #[error("{place}{message}")]
    Template {
        /// `file:line:column: `, where that is known.
        place: String,
        /// What is wrong, and the lines that are meant.
        message: String,
        /// The value that nobody gave, if that is what is wrong.
        missing: Option<String>,
    },
    /// It comes out otherwise in every run.
    #[error("{0} does not come out the same every time: it goes over a map, whose keys have no order")]
    Unordered(String),
    /// What came out isn't YAML.
    #[error("what came out of {template} is not YAML: {reason}")]
    Output {
        /// The template's file.
        template: String,
        /// Why.
        reason: String,
    },
}

impl TemplateError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Values { .. } => Some("a file of values is one YAML document with names at its top".into()),
            Self::Form(text) => Some(format!("write `{text}=<value>`")),
            Self::Index { length, .. } => Some(format!("index {length} adds an item")),
            Self::Twice(_) => Some("rename one of the files: snippets are included by their names".into()),
            Self::Template { missing: Some(missing), .. } => Some(format!(
                "give it a value with --values or --set {missing}=…, or write `{{{{ {missing} | default(value=\"…\") }}}}`"
            )),
            Self::Unordered(_) => Some(
                "write `{% for pair in map | pairs %}` with `{{ pair[0] }}` and `{{ pair[1] }}`: they come sorted".into(),
            ),
            Self::Output { .. } => Some("leave --format-yaml away to see it".into()),
            Self::Path(_) | Self::Template { .. } => None,
        }
    }
}

/// What templates are filled with.
#[derive(Clone, Debug, Default)]
pub struct Values(Value);

impl Values {
    /// None yet.
    pub fn new() -> Self {
        Self(Value::Object(Map::new()))
    }

    /// Adds those of a file. What is there already is written over; maps are merged, lists are not.
    pub fn add_file(&mut self, source: &Source) -> Result<(), TemplateError> {
        let wrong = |reason: String| TemplateError::Values { file: source.name.clone(), reason };
        match yaml::to_json(&source.text).map_err(wrong)? {
            Value::Null => Ok(()),
            values @ Value::Object(_) => {
                merge(&mut self.0, values);
                Ok(())
            }
            _ => Err(wrong("it is not a map".to_owned())),
        }
    }

    /// `path=value`: a number, `true`, `null`, a `[list]` or a text, as YAML reads it.
    pub fn set(&mut self, assignment: &str) -> Result<(), TemplateError> {
        let (path, text) = split(assignment)?;
        let value = if text.starts_with('[') {
            yaml::to_json(text)
                .map_err(|reason| TemplateError::Values { file: format!("`{assignment}`"), reason })?
        } else {
            yaml::plain(text)
        };
        self.put(path, value)
    }

    /// `path=text`: always a text.
    pub fn set_string(&mut self, assignment: &str) -> Result<(), TemplateError> {
        let (path, text) = split(assignment)?;
        self.put(path, Value::from(text))
    }

    /// Gives a value at the top a meaning where it has none.
    pub fn default(&mut self, name: &str, value: &str) {
        if let Value::Object(values) = &mut self.0 {
            values.entry(name).or_insert_with(|| Value::from(value));
        }
    }

    fn put(&mut self, path: &str, value: Value) -> Result<(), TemplateError> {
        put(&mut self.0, &path::steps(path)?, value, path)
    }
}

fn split(assignment: &str) -> Result<(&str, &str), TemplateError> {
    let parts = assignment.split_once('=').filter(|(path, _)| !path.is_empty());
    parts.ok_or_else(|| TemplateError::Form(assignment.to_owned()))
}

fn merge(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                merge(old.entry(key).or_insert(Value::Null), value);
            }
        }
        (old, new) => *old = new,
    }
}

/// Puts a value where a path says; what is in the way gives way.
fn put(target: &mut Value, steps: &[Segment], value: Value, path: &str) -> Result<(), TemplateError> {
    let Some((step, rest)) = steps.split_first() else {
        *target = value;
        return Ok(());
    };
    match step {
        Segment::Key(key) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let Value::Object(fields) = target else { return Ok(()) };
            put(fields.entry(key).or_insert(Value::Null), rest, value, path)
        }
        Segment::Index(index) => {
            if !target.is_array() {
                *target = Value::Array(Vec::new());
            }
            let Value::Array(items) = target else { return Ok(()) };
            let length = items.len();
            if *index == length {
                items.push(Value::Null);
            }
            let item = items.get_mut(*index).ok_or_else(|| TemplateError::Index {
                path: path.to_owned(),
                index: *index,
                length,
            })?;
            put(item, rest, value, path)
        }
        Segment::All => {
            let Value::Array(items) = target else { return Ok(()) };
            items.iter_mut().try_for_each(|item| put(item, rest, value.clone(), path))
        }
    }
}

/// What a template that names a value which nobody gave comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An error.
    Fails,
    /// Nothing is printed for it.
    IsEmpty,
}

/// Fills each template. Snippets are what templates may `{% include %}`, by their names.
pub fn render(
    templates: &[Source],
    snippets: &[Source],
    values: &Values,
    missing: Missing,
) -> Result<Vec<String>, TemplateError> {
    let mut tera = Tera::new();
    tera.autoescape_on(Vec::<&str>::new());
    tera.register_filter("keys", |map: &tera::Map, _: Kwargs, _: &State| -> Vec<tera::Value> {
        sorted(map).into_iter().map(|[key, _]| key).collect()
    });
    tera.register_filter("values", |map: &tera::Map, _: Kwargs, _: &State| -> Vec<tera::Value> {
        sorted(map).into_iter().map(|[_, value]| value).collect()
    });
    tera.register_filter("pairs", |map: &tera::Map, _: Kwargs, _: &State| -> Vec<tera::Value> {
        sorted(map).into_iter().map(|pair| tera::Value::from(pair.to_vec())).collect()
    });
    tera.register_filter("quote", |value: &tera::Value, _: Kwargs, _: &State| quote(value));
    tera.register_filter("to_json", |value: &tera::Value, _: Kwargs, _: &State| plain(value).to_string());
    tera.register_filter("to_yaml", |value: &tera::Value, _: Kwargs, _: &State| {
        yaml::to_yaml(&plain(value)).trim_end().to_owned()
    });
    let sources: Vec<&Source> = snippets.iter().chain(templates).collect();
    for (index, source) in sources.iter().enumerate() {
        if sources[..index].iter().any(|other| other.name == source.name) {
            return Err(TemplateError::Twice(source.name.clone()));
        }
    }
    // All at once: an included snippet must be known when the template that includes it is read.
    let named = sources.iter().map(|source| (source.name.as_str(), source.text.as_str()));
    tera.add_raw_templates(named).map_err(|error| failure(&error, &sources))?;
    let filled = templates.iter().map(|template| fill(&tera, template, &sources, values, missing));
    filled.collect()
}

fn fill(
    tera: &Tera,
    template: &Source,
    sources: &[&Source],
    values: &Values,
    missing: Missing,
) -> Result<String, TemplateError> {
    let mut values = values.clone();
    let mut filled: Vec<String> = Vec::new();
    loop {
        let context = tera::Context::from_serialize(&values.0).map_err(|error| failure(&error, sources))?;
        let error = match tera.render(&template.name, &context) {
            Ok(text) => return check_order(tera, template, &values, sources, text),
            Err(error) => failure(&error, sources),
        };
        let TemplateError::Template { missing: Some(path), .. } = &error else { return Err(error) };
        // One that is filled in and still missing is of a loop's variable, which has no place among the values.
        let can_be_filled =
            missing == Missing::IsEmpty && filled.len() < MOST_MISSING && !filled.contains(path);
        if !can_be_filled {
            return Err(error);
        }
        filled.push(path.clone());
        values.put(path, Value::from(""))?;
    }
}

/// The same input must come to the same output, and Tera goes over a map in any order. Each context has an order of its
/// own, so that a few of them show it.
fn check_order(
    tera: &Tera,
    template: &Source,
    values: &Values,
    sources: &[&Source],
    text: String,
) -> Result<String, TemplateError> {
    for _ in 0..ORDERS {
        let again = tera::Context::from_serialize(&values.0)
            .and_then(|context| tera.render(&template.name, &context))
            .map_err(|error| failure(&error, sources))?;
        if again != text {
            return Err(TemplateError::Unordered(template.name.clone()));
        }
    }
    Ok(text)
}

/// The keys and values of a map by its keys, where Tera's own filters have any order.
fn sorted(map: &tera::Map) -> Vec<[tera::Value; 2]> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|one, other| one.0.cmp(other.0));
    entries.into_iter().map(|(key, value)| [tera::Value::from(key.clone()), value.clone()]).collect()
}

/// A value without Tera's order of keys, which is any.
fn plain(value: &tera::Value) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// A value as a JSON text, which YAML reads as that very text.
fn quote(value: &tera::Value) -> String {
    Value::from(value.to_string()).to_string()
}

/// Brings Tera's report into the form that compilers have: `file:line:column: what is wrong`, then the lines.
fn failure(error: &tera::Error, sources: &[&Source]) -> TemplateError {
    let report = error.to_string();
    let (message, rest) = report.split_once('\n').unwrap_or((&report, ""));
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let (place, lines) = match rest.split_once('\n') {
        Some((arrow, lines)) if arrow.trim_start().starts_with("--> ") => {
            (format!("{}: ", arrow.trim_start().trim_start_matches("--> ")), lines)
        }
        _ => (String::new(), rest),
    };
    let lines = if lines.is_empty() { String::new() } else { format!("\n{lines}") };
    TemplateError::Template { place, message: format!("{message}{lines}"), missing: missing(error, sources) }
}

/// The value that nobody gave: the path that stands where Tera points to.
fn missing(error: &tera::Error, sources: &[&Source]) -> Option<String> {
    let (ErrorKind::RenderingError(report) | ErrorKind::SyntaxError(report)) = error.kind() else {
        return None;
    };
    if !(report.message().contains("not defined") || report.message().contains("undefined")) {
        return None;
    }
    let text = &sources.iter().find(|source| source.name == report.filename())?.text;
    let (start, end) = (report.span().range.start, report.span().range.end);
    let part_of_path = |character: char| character.is_alphanumeric() || "_.".contains(character);
    // Tera points to one part of the path, so what stands before and behind it belongs to it.
    let start = text.get(..start)?.trim_end_matches(part_of_path).len();
    let behind = text.get(end..)?;
    let end = end + behind.len() - behind.trim_start_matches(part_of_path).len();
    let path = text.get(start..end)?;
    let whole = path.chars().all(part_of_path) && path::steps(path).is_ok_and(|steps| !steps.is_empty());
    whole.then(|| path.to_owned())
}

/// Texts as one file of YAML documents, with `---` between them.
pub fn join(texts: &[String]) -> String {
    let mut joined = String::new();
    for text in texts.iter().map(|text| text.trim_end()).filter(|text| !text.is_empty()) {
        if !joined.is_empty() && !text.starts_with("---") {
            joined.push_str("---\n");
        }
        joined.push_str(text);
        joined.push('\n');
    }
    joined
}

/// What came out of a template, written anew: indented alike, keys sorted, without comments.
pub fn format(template: &str, text: &str) -> Result<String, TemplateError> {
    let wrong = |reason| TemplateError::Output { template: template.to_owned(), reason };
    let documents = yaml::all_to_json(text).map_err(wrong)?;
    let documents = documents.iter().filter(|document| !document.is_null());
    Ok(join(&documents.map(yaml::to_yaml).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Source {
        Source { name: name.to_owned(), text: text.to_owned() }
    }

    fn values(text: &str) -> Values {
        let mut values = Values::new();
        values.add_file(&source("values.yaml", text)).unwrap();
        values
    }

    fn filled(template: &str, values: &Values) -> Result<String, TemplateError> {
        let snippets = [source("group.yaml", "name: {{ group.name }}")];
        let mut texts = render(&[source("t.yaml", template)], &snippets, values, Missing::Fails)?;
        Ok(texts.remove(0))
    }

    #[test]
    fn later_values_win_and_maps_are_merged() {
        let mut values = values("a: {b: 1, c: [1, 2]}\nd: x");
        values.add_file(&source("more.yaml", "a: {c: [3]}\ne: 1.30")).unwrap();
        values.add_file(&source("empty.yaml", "# nothing\n")).unwrap();
        values.set("a.b=7").unwrap();
        values.set("zones=[us-east-1a, us-east-1b]").unwrap();
        values.set("on=true").unwrap();
        values.set_string("text=true").unwrap();
        values.set("list[0].name=x").unwrap();
        values.set("cidrs=10.0.0.0/8,10.1.0.0/16").unwrap();
        values.default("d", "not this one");
        values.default("clusterName", "demo.example.com");
        let expected = serde_json::json!({
            "a": {"b": 7, "c": [3]}, "d": "x", "e": 1.30, "zones": ["us-east-1a", "us-east-1b"], "on": true,
            "text": "true", "list": [{"name": "x"}], "cidrs": "10.0.0.0/8,10.1.0.0/16",
            "clusterName": "demo.example.com",
        });
        assert_eq!(values.0, expected);
    }

    #[test]
    fn values_that_can_not_be_used_say_why() {
        let mut values = values("a: [1]");
        let told = |error: TemplateError| format!("{error} ({})", error.hint().unwrap_or_default());
        assert!(
            told(values.add_file(&source("v.yaml", "- a")).unwrap_err())
                .contains("v.yaml can't be used: it is not a map")
        );
        assert!(told(values.add_file(&source("v.yaml", "a: [")).unwrap_err()).contains("v.yaml"));
        assert!(told(values.set("x").unwrap_err()).contains("`x=<value>`"));
        assert!(told(values.set("=x").unwrap_err()).contains("path=value"));
        assert!(told(values.set("a[5]=x").unwrap_err()).contains("index 1 adds an item"));
        assert!(matches!(values.set("a..b=x").unwrap_err(), TemplateError::Path(_)));
    }

    #[test]
    fn a_template_is_filled_and_nothing_is_escaped() {
        let values = values("group: {name: nodes}\nsizes: [1, 2]\ntext: 'a: \"<&'\nmap: {b: 1, a: x}");
        let template = "{% include \"group.yaml\" %}\n{% for size in sizes -%}\n- {{ size }}\n{% endfor %}\
                        raw: {{ text }}\nquoted: {{ text | quote }}\nmap: {{ map | to_json }}\n{{ map | to_yaml }}\n";
        assert_eq!(
            filled(template, &values).unwrap(),
            "name: nodes\n- 1\n- 2\nraw: a: \"<&\nquoted: \"a: \\\"<&\"\nmap: {\"a\":\"x\",\"b\":1}\na: x\nb: 1\n"
        );
    }

    #[test]
    fn an_error_says_file_line_and_column_and_the_name_of_what_is_missing() {
        let values = values("group: {name: nodes}\nlist: [{a: 1}]");
        for (template, place, words, missing) in [
            ("a\n  {{ zones }}", "t.yaml:2:6: ", "Variable `zones` is not defined", Some("zones")),
            ("{{ group.size }}", "t.yaml:1:10: ", "Field `size` is not defined", Some("group.size")),
            ("{{ group.size | upper }}", "t.yaml:1:", "undefined", Some("group.size")),
            ("{% for x in zones %}{% endfor %}", "t.yaml:1:13: ", "undefined", Some("zones")),
            ("{% for }", "t.yaml:1:8: ", "expected identifier", None),
            ("{{ group | nope }}", "t.yaml:1:12: ", "Unknown filter `nope`", None),
            ("{% include \"nope.yaml\" %}", "t.yaml:1:12: ", "Unknown template `nope.yaml`", None),
        ] {
            let error = filled(template, &values).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with(place) && text.contains(words), "{template}: {text}");
            let TemplateError::Template { missing: found, .. } = &error else { panic!("{error:?}") };
            assert_eq!(found.as_deref(), missing, "{template}");
            assert_eq!(error.hint().is_some(), missing.is_some(), "{template}");
        }
        let error = render(
            &[source("t.yaml", "{% include \"group.yaml\" %}")],
            &[source("group.yaml", "x\n{{ group.size }}")],
            &values,
            Missing::Fails,
        );
        assert!(error.unwrap_err().to_string().starts_with("group.yaml:2:10: "));
    }

    #[test]
    fn what_is_missing_may_be_empty_where_that_is_asked_for() {
        let template = [source("t.yaml", "a: {{ a }}\nb: {{ group.size }}\nc: {{ x.y.z }}\n")];
        let texts = render(&template, &[], &values("group: {name: n}"), Missing::IsEmpty).unwrap();
        assert_eq!(texts, ["a: \nb: \nc: \n"]);
        let template = [source("t.yaml", "{% for item in list %}{{ item.b }}{% endfor %}")];
        let error = render(&template, &[], &values("list: [{a: 1}]"), Missing::IsEmpty).unwrap_err();
        assert!(error.to_string().contains("Field `b` is not defined"), "{error}");
        assert!(error.hint().unwrap().contains("{{ item.b | default("));
    }

    #[test]
    fn what_would_come_out_otherwise_in_every_run_is_refused() {
        let values = values("labels: {b: 1, a: 2, c: 3}");
        let sorted = "{% for pair in labels | pairs %}{{ pair[0] }}={{ pair[1] }} {% endfor %}\
                      {{ labels | keys | join(sep=\"\") }}{{ labels | values | join(sep=\"\") }}";
        assert_eq!(filled(sorted, &values).unwrap(), "a=2 b=1 c=3 abc213");
        let error = filled("{% for key, value in labels %}{{ key }}{% endfor %}", &values).unwrap_err();
        assert!(error.to_string().starts_with("t.yaml does not come out the same"), "{error}");
        assert!(error.hint().unwrap().contains("map | pairs"));
    }

    #[test]
    fn a_name_that_is_given_twice_is_refused() {
        let error = render(&[source("a", "1")], &[source("a", "2")], &Values::new(), Missing::Fails);
        assert_eq!(error.unwrap_err().to_string(), "`a` is given twice");
    }

    #[test]
    fn documents_are_joined_once_and_formatted_without_changing_what_they_say() {
        let texts = ["a: 1\n\n", "", "---\nb: 2", "c: 3"].map(str::to_owned);
        assert_eq!(join(&texts), "a: 1\n---\nb: 2\n---\nc: 3\n");
        let formatted = format("t.yaml", "b:   \"1.30\"   # comment\na: [1,2]\n---\n---\nc: x\n").unwrap();
        assert_eq!(formatted, "a:\n- 1\n- 2\nb: '1.30'\n---\nc: x\n");
        let error = format("t.yaml", "a: [").unwrap_err();
        assert!(error.to_string().contains("t.yaml is not YAML"), "{error}");
    }
}
