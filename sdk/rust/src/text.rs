//! Text and bytes a decision carries: literal, owned, or shared with the filter.
//!
//! A filter that answers the same route name or header a million times must not copy it a million
//! times. `Text` and `Bytes` take whatever the author has at hand; `Rc<str>` and `Rc<[u8]>` make a
//! value of the filter's own cheap to give away.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

/// Text in a decision. Made by `into()` from `&'static str`, `String` or `Rc<str>`.
#[derive(Clone)]
pub enum Text {
    /// A literal.
    Static(&'static str),
    /// Made for this decision.
    Owned(String),
    /// Kept by the filter, given away by reference count.
    Shared(Rc<str>),
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Static(text) => text,
            Text::Owned(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Default for Text {
    fn default() -> Self {
        Text::Static("")
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Text::Static(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text::Owned(text)
    }
}

impl From<Rc<str>> for Text {
    fn from(text: Rc<str>) -> Self {
        Text::Shared(text)
    }
}

impl From<&Rc<str>> for Text {
    fn from(text: &Rc<str>) -> Self {
        Text::Shared(Rc::clone(text))
    }
}

impl From<&Text> for Text {
    fn from(text: &Text) -> Self {
        text.clone()
    }
}

impl From<Cow<'static, str>> for Text {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Text::Static(text),
            Cow::Owned(text) => Text::Owned(text),
        }
    }
}

/// Bytes in a decision: a field's value, a path, a body. Made by `into()` from text or bytes.
#[derive(Clone)]
pub enum Bytes {
    /// A literal.
    Static(&'static [u8]),
    /// Made for this decision.
    Owned(Vec<u8>),
    /// Kept by the filter, given away by reference count.
    Shared(Rc<[u8]>),
    /// Text kept by the filter, given away by reference count.
    SharedText(Rc<str>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Static(bytes) => bytes,
            Bytes::Owned(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
            Bytes::SharedText(text) => text.as_bytes(),
        }
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Bytes::Static(b"")
    }
}

impl From<&'static str> for Bytes {
    fn from(text: &'static str) -> Self {
        Bytes::Static(text.as_bytes())
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::Static(bytes)
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Bytes::Owned(text.into_bytes())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::Owned(bytes)
    }
}

impl From<Rc<[u8]>> for Bytes {
    fn from(bytes: Rc<[u8]>) -> Self {
        Bytes::Shared(bytes)
    }
}

impl From<Rc<str>> for Bytes {
    fn from(text: Rc<str>) -> Self {
        Bytes::SharedText(text)
    }
}

impl From<&Rc<str>> for Bytes {
    fn from(text: &Rc<str>) -> Self {
        Bytes::SharedText(Rc::clone(text))
    }
}

impl From<&Bytes> for Bytes {
    fn from(bytes: &Bytes) -> Self {
        bytes.clone()
    }
}

impl From<Text> for Bytes {
    fn from(text: Text) -> Self {
        match text {
            Text::Static(text) => Bytes::Static(text.as_bytes()),
            Text::Owned(text) => Bytes::Owned(text.into_bytes()),
            Text::Shared(text) => Bytes::SharedText(text),
        }
    }
}
