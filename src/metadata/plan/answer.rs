//! From a request to its answer, once it is known whose it is.
//!
//! What a request may be refused for is looked at first, and without reading anything of the guest's.

use std::iter;

use crate::api::metadata::MetadataTokens;

use super::{
    ec2,
    instance::Instance,
    openstack,
    tree::{Entry, Form, Tree},
};

/// Where tokens are had.
const TOKEN_PATH: &str = "/latest/api/token";

/// How long a token may live, in seconds: six hours, as in EC2.
const TOKEN_LIFE_S_MAX: u32 = 21_600;

/// What is asked, without what is of no interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The method.
    pub method: Method,
    /// The path, without what follows a question mark.
    pub path: &'a str,
    /// Whether it says that it was passed on for somebody else: a proxy in the guest that can be made to fetch any
    /// address would say so.
    pub is_forwarded: bool,
    /// What it shows.
    pub credential: Credential,
    /// How long the token shall live that is asked for, as it was written.
    pub token_life: Option<&'a str>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Show it.
    Get,
    /// Say how long it is.
    Head,
    /// Make it.
    Put,
    /// Something else.
    Other,
}

/// What a request shows for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    None,
    /// One of this guest's that holds.
    Valid,
    /// One that is another's, has ended, or never was one.
    Invalid,
}

/// How a request went; also what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was answered.
    Found,
    /// A token was given.
    Token,
    /// There is nothing of that name.
    NotFound,
    /// Nobody of this node asks.
    Unknown,
    /// It was refused for what it is.
    Refused,
    /// It lacks a token that holds.
    Unauthorized,
    /// What is asked for cannot be read at the moment.
    Unavailable,
}

impl Outcome {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Found,
        Self::Token,
        Self::NotFound,
        Self::Unknown,
        Self::Refused,
        Self::Unauthorized,
        Self::Unavailable,
    ];

    /// The word that it is counted by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Token => "token",
            Self::NotFound => "not_found",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// What it is.
    pub form: Form,
    /// All of it. Of a request for its length only the length is sent.
    pub body: Vec<u8>,
    /// How it went.
    pub outcome: Outcome,
}

impl Answer {
    /// Nobody of this node asks: there is nothing for him, not even words.
    pub fn to_nobody() -> Self {
        Self::of(404, "", Outcome::Unknown)
    }

    /// What is asked for cannot be read at the moment.
    pub fn not_now() -> Self {
        let words = "the metadata of this server cannot be read at the moment: try again\n";
        Self::of(503, words, Outcome::Unavailable)
    }

    fn of(status: u16, words: &str, outcome: Outcome) -> Self {
        Self {
            status,
            form: Form::Text,
            body: words.as_bytes().to_vec(),
            outcome,
        }
    }

    fn refused(status: u16, words: &str) -> Self {
        Self::of(status, words, Outcome::Refused)
    }
}

/// What to do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer so.
    Answer(Answer),
    /// Give a token that lives so many seconds.
    GiveToken(u32),
    /// Look up the path.
    Look,
}

/// What to do with a request of a guest whose owner says so about tokens.
pub fn judge(asked: &Asked<'_>, tokens: MetadataTokens) -> Verdict {
    let refused = |status, words| Verdict::Answer(Answer::refused(status, words));
    if asked.is_forwarded {
        return refused(403, "requests that were passed on are not answered\n");
    }
    let is_token = asked.path == TOKEN_PATH;
    match asked.method {
        Method::Put if is_token => return token(asked.token_life),
        Method::Get | Method::Head if !is_token => {}
        Method::Get | Method::Head => return refused(405, "tokens are had by PUT\n"),
        Method::Put | Method::Other => {
            return refused(405, "there is nothing here that could be changed\n");
        }
    }
    match (asked.credential, tokens) {
        (Credential::Valid, _) | (Credential::None, MetadataTokens::Optional) => Verdict::Look,
        (Credential::Invalid, _) | (Credential::None, MetadataTokens::Required) => {
            let words = "a session token is needed that holds: PUT /latest/api/token gives one\n";
            Verdict::Answer(Answer::of(401, words, Outcome::Unauthorized))
        }
    }
}

fn token(life: Option<&str>) -> Verdict {
    let seconds = life.and_then(|life| life.trim().parse().ok());
    match seconds.filter(|seconds| (1..=TOKEN_LIFE_S_MAX).contains(seconds)) {
        Some(seconds) => Verdict::GiveToken(seconds),
        None => Verdict::Answer(Answer::refused(
            400,
            "the header X-aws-ec2-metadata-token-ttl-seconds must say for how long, 1 to 21600\n",
        )),
    }
}

/// What is found at a path.
pub fn look(path: &str, instance: &Instance) -> Answer {
    let names = path.split('/').filter(|name| !name.is_empty());
    match find(names, instance) {
        Some((form, body)) => Answer {
            status: 200,
            form,
            body,
            outcome: Outcome::Found,
        },
        None => Answer::of(404, "there is nothing of that name\n", Outcome::NotFound),
    }
}

fn find<'n>(
    mut names: impl Iterator<Item = &'n str>,
    instance: &Instance,
) -> Option<(Form, Vec<u8>)> {
    let Some(first) = names.next() else {
        let versions = ec2::VERSIONS.iter().chain(&["latest"]);
        return Some(list(versions));
    };
    if first == "openstack" {
        let Some(asked) = names.next() else {
            return Some(list(&openstack::VERSIONS));
        };
        let version = openstack::VERSIONS.iter().find(|known| **known == asked)?;
        return openstack::tree(instance, version).find(names);
    }
    let is_known = first == "latest" || ec2::VERSIONS.contains(&first);
    is_known.then(|| ec2::tree(instance).find(names)).flatten()
}

/// Versions are listed without slashes.
fn list<'a>(versions: impl IntoIterator<Item = &'a &'a str>) -> (Form, Vec<u8>) {
    let empty = || Tree::Folder(Vec::new());
    let entries = versions
        .into_iter()
        .map(|version| Entry::labelled(*version, *version, empty()));
    let folder = Tree::Folder(entries.collect());
    folder
        .find(iter::empty())
        .unwrap_or((Form::Text, Vec::new()))
}

#[cfg(test)]
mod tests;
