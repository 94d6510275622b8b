//! What an expression of Prometheus' language asks for, as far as its text tells: which series, by which labels. It
//! understands what our rules and dashboards are written in, and no more.

use std::collections::BTreeSet;

/// What stands between the words of an expression and is neither a series nor a function.
const WORDS: [&str; 14] = [
    "and", "or", "unless", "bool", "offset", "sum", "min", "max", "avg", "count", "topk",
    "bottomk", "quantile", "group",
];

/// What an expression asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The series, each with the labels that it is chosen by.
    pub series: Vec<(String, Vec<String>)>,
    /// The labels that are left after an aggregation.
    pub by: BTreeSet<String>,
    /// The labels that two sides are matched on.
    pub on: BTreeSet<String>,
}

/// Reads an expression.
pub fn read(expression: &str) -> Question {
    let mut question = Question::default();
    let tokens = tokens(expression);
    let mut rest = tokens.as_slice();
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        let Token::Word(word) = token else { continue };
        match (word.as_str(), rest.first()) {
            ("by", _) => question.by.extend(inside(&mut rest, '(', ')')),
            ("on" | "group_left", _) => question.on.extend(inside(&mut rest, '(', ')')),
            ("without" | "ignoring" | "group_right", _) => {
                panic!("`{word}` is not understood here: say which labels stay")
            }
            (word, _) if WORDS.contains(&word) => {}
            // A function.
            (_, Some(Token::Sign('('))) => {}
            (_, Some(Token::Sign('{'))) => {
                let labels = inside(&mut rest, '{', '}');
                question.series.push((word.clone(), labels));
            }
            _ => question.series.push((word.clone(), Vec::new())),
        }
    }
    question
}

#[derive(Debug)]
enum Token {
    Word(String),
    Sign(char),
}

/// The words between two signs, and the tokens after them.
fn inside(rest: &mut &[Token], open: char, close: char) -> Vec<String> {
    assert!(matches!(rest.first(), Some(Token::Sign(sign)) if *sign == open));
    let end = rest
        .iter()
        .position(|token| matches!(token, Token::Sign(sign) if *sign == close))
        .expect("every bracket is closed");
    let words = rest[..end].iter().filter_map(|token| match token {
        Token::Word(word) => Some(word.clone()),
        Token::Sign(_) => None,
    });
    let words = words.collect();
    *rest = &rest[end + 1..];
    words
}

/// Words and signs; texts, numbers and ranges say nothing of what is asked for.
fn tokens(expression: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut characters = expression.chars().peekable();
    while let Some(first) = characters.next() {
        match first {
            '"' => drop(characters.by_ref().find(|next| *next == '"')),
            '[' => drop(characters.by_ref().find(|next| *next == ']')),
            _ if first.is_ascii_alphanumeric() || first == '_' => {
                let mut word = first.to_string();
                let belongs =
                    |next: &char| next.is_ascii_alphanumeric() || ['_', ':', '.'].contains(next);
                while let Some(next) = characters.next_if(belongs) {
                    word.push(next);
                }
                if !first.is_ascii_digit() {
                    tokens.push(Token::Word(word));
                }
            }
            _ if first.is_whitespace() => {}
            _ => tokens.push(Token::Sign(first)),
        }
    }
    tokens
}

#[test]
fn expressions_are_understood() {
    let question = read(
        r#"histogram_quantile(0.99, sum by (a, le) (rate(x_bucket{b!~"c|by (d)", e="f"}[5m]))) > 1e3
             unless on (g) (level:y:op * z == 1) or absent(w)"#,
    );
    let series = [
        ("x_bucket", vec!["b", "e"]),
        ("level:y:op", vec![]),
        ("z", vec![]),
        ("w", vec![]),
    ];
    let series = series.map(|(name, labels)| {
        (
            name.to_owned(),
            labels.into_iter().map(str::to_owned).collect(),
        )
    });
    assert_eq!(question.series, series);
    assert_eq!(question.by, ["a", "le"].map(str::to_owned).into());
    assert_eq!(question.on, ["g"].map(str::to_owned).into());
}
