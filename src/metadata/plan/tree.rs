//! Folders and files, as a client walks them by paths.

use std::borrow::Cow;

/// What a file holds, so that clients know what to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text.
    Text,
    /// JSON.
    Json,
    /// Whatever a user has put there.
    Bytes,
}

/// A folder or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree<'a> {
    /// A file.
    Leaf(Form, Cow<'a, [u8]>),
    /// A folder with what is in it, in the order in which it is listed.
    Folder(Vec<Entry<'a>>),
}

/// What is in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    name: Cow<'a, str>,
    /// What the folder's list says of it.
    label: Cow<'a, str>,
    tree: Tree<'a>,
}

impl<'a> Entry<'a> {
    /// One that is listed by its name; folders with a slash behind it.
    pub fn new(name: impl Into<Cow<'a, str>>, tree: Tree<'a>) -> Self {
        let name = name.into();
        let label = match &tree {
            Tree::Leaf(..) => name.clone(),
            Tree::Folder(_) => Cow::Owned(format!("{name}/")),
        };
        Self { name, label, tree }
    }

    /// One that is listed in other words.
    pub fn labelled(
        name: impl Into<Cow<'a, str>>,
        label: impl Into<Cow<'a, str>>,
        tree: Tree<'a>,
    ) -> Self {
        Self {
            name: name.into(),
            label: label.into(),
            tree,
        }
    }

    /// A file of one text.
    pub fn text(name: impl Into<Cow<'a, str>>, text: impl Into<Cow<'a, str>>) -> Self {
        let bytes = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self::new(name, Tree::Leaf(Form::Text, bytes))
    }

    /// A folder.
    pub fn folder(name: impl Into<Cow<'a, str>>, entries: Vec<Entry<'a>>) -> Self {
        Self::new(name, Tree::Folder(entries))
    }
}

impl Tree<'_> {
    /// What is found by these names, one below the other: a file, or the list of a folder.
    pub fn find<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Option<(Form, Vec<u8>)> {
        let mut here = self;
        for name in names {
            let Self::Folder(entries) = here else {
                return None;
            };
            here = &entries.iter().find(|entry| entry.name == name)?.tree;
        }
        Some(match here {
            Self::Leaf(form, bytes) => (*form, bytes.to_vec()),
            Self::Folder(entries) => {
                let labels: Vec<&str> = entries.iter().map(|entry| &*entry.label).collect();
                (Form::Text, labels.join("\n").into_bytes())
            }
        })
    }
}
