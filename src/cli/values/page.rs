//! The values as people read them: `values.yaml`, with a comment before each, and the table in the chart's README.
//!
//! Knows YAML as this program writes it: a key a line, two spaces a level.

use std::fmt::Write as _;

use serde_json::Value;

/// How long a line may be.
const COLUMNS: usize = 120;

/// What stands before the table in a README.
pub const TABLE_BEGINS: &str =
    "<!-- values: `kilonova values-schema --chart` writes this table -->";

/// What stands after it.
pub const TABLE_ENDS: &str = "<!-- end of values -->";

/// One value, or a group of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name with those of its groups, such as `operator.replicas`.
    path: String,
    /// What the schema says of it.
    words: String,
    /// Its lines in YAML: one for a group, else all that its default has.
    lines: Vec<String>,
    /// Whether others follow that belong to it.
    is_group: bool,
}

/// Every value that the schema knows, in the order of the YAML.
pub fn entries(yaml: &str, schema: &Value) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut groups: Vec<(String, &Value)> = Vec::new();
    for line in yaml.lines() {
        let level = line.len() - line.trim_start().len();
        let key = line.trim_start().split_once(':').map(|(key, _)| key);
        groups.truncate(level / 2);
        let home = groups.last().map_or(schema, |(_, group)| group);
        let found = key
            .filter(|_| groups.len() == level / 2)
            .and_then(|key| home["properties"].get(key).map(|found| (key, found)));
        let Some((key, found)) = found else {
            // A line of what the value before it is by default.
            if let Some(entry) = entries.last_mut() {
                entry.lines.push(line.to_owned());
            }
            continue;
        };
        let path = match groups.last() {
            Some((group, _)) => format!("{group}.{key}"),
            None => key.to_owned(),
        };
        let is_group = found.get("properties").is_some();
        if is_group {
            groups.push((path.clone(), found));
        }
        entries.push(Entry {
            path,
            words: found["description"].as_str().unwrap_or_default().to_owned(),
            lines: vec![line.to_owned()],
            is_group,
        });
    }
    entries
}

/// The text of `values.yaml`.
pub fn yaml(entries: &[Entry]) -> String {
    let mut text = String::from(
        "# Values of the chart kilonova. Generated from the types that the program reads (src/cli/values).\n",
    );
    for entry in entries {
        let level = entry.lines[0].len() - entry.lines[0].trim_start().len();
        if level == 0 {
            text.push('\n');
        }
        for words in wrapped(&entry.words, COLUMNS - level - 2) {
            let _ = writeln!(text, "{:level$}# {words}", "");
        }
        for line in &entry.lines {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The README with its table made anew; `None` if it has no place for one.
pub fn with_table(readme: &str, entries: &[Entry]) -> Option<String> {
    let (before, rest) = readme.split_once(TABLE_BEGINS)?;
    let (_, after) = rest.split_once(TABLE_ENDS)?;
    let mut table = String::from("| value | default | what |\n| --- | --- | --- |\n");
    for entry in entries.iter().filter(|entry| !entry.is_group) {
        let Entry { path, words, .. } = entry;
        let words = words.replace('|', "\\|");
        let _ = writeln!(table, "| `{path}` | `{}` | {words} |", default(entry));
    }
    Some(format!(
        "{before}{TABLE_BEGINS}\n{table}{TABLE_ENDS}{after}"
    ))
}

/// The default in one line.
fn default(entry: &Entry) -> String {
    let mut lines = entry.lines.iter();
    let first = lines.next().and_then(|line| line.split_once(": "));
    let more: Vec<_> = lines.map(|line| line.trim()).collect();
    match first {
        Some((_, value)) => value.trim().to_owned(),
        None if more.iter().all(|line| line.starts_with("- ")) => {
            let items = more.iter().map(|line| line.trim_start_matches("- "));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        None => format!("{{{}}}", more.join(", ")),
    }
}

fn wrapped(words: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn example() -> Vec<Entry> {
        let of = |words: &str| json!({ "description": words });
        let schema = json!({ "properties": {
            "role": { "description": "A role.", "properties": { "count": of("How many."), "taints": of("Which | ones.") } },
            "labels": of("Its labels."),
            "name": of("A name."),
        }});
        let yaml = "role:\n  count: 2\n  taints:\n  - operator: Exists\nlabels:\n  name: \"1\"\nname: \"\"\n";
        entries(yaml, &schema)
    }

    #[test]
    fn each_value_has_its_words_before_it() {
        let expected = "\n# A role.\nrole:\n  # How many.\n  count: 2\n  # Which | ones.\n  taints:\n  - operator: Exists\n\n\
            # Its labels.\nlabels:\n  name: \"1\"\n\n# A name.\nname: \"\"\n";
        let yaml = yaml(&example());
        assert_eq!(yaml.split_once('\n').unwrap().1, expected);
    }

    #[test]
    fn a_table_has_a_line_for_each_value_and_none_for_a_group() {
        let readme = format!("Before.\n{TABLE_BEGINS}\nold\n{TABLE_ENDS}\nAfter.\n");
        let expected = format!(
            "Before.\n{TABLE_BEGINS}\n| value | default | what |\n| --- | --- | --- |\n\
            | `role.count` | `2` | How many. |\n\
            | `role.taints` | `[operator: Exists]` | Which \\| ones. |\n\
            | `labels` | `{{name: \"1\"}}` | Its labels. |\n\
            | `name` | `\"\"` | A name. |\n{TABLE_ENDS}\nAfter.\n"
        );
        assert_eq!(with_table(&readme, &example()).unwrap(), expected);
        assert_eq!(with_table("no place", &example()), None);
    }

    #[test]
    fn words_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    }
}
