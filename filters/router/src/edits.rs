//! Changes to heads that config asks for, checked once so that the proxy never has to refuse them.

use std::rc::Rc;

use weir_sdk::Edit;

use crate::config::EditsConfig;

/// Fields that frame or route a message: the proxy's to write.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The edits, removals first, so that a field can be removed and set anew.
pub(crate) fn compile(config: &EditsConfig) -> Result<Vec<Edit>, String> {
    let mut edits = Vec::new();
    for name in &config.remove {
        edits.push(Edit::Remove(name_of(name)?.into()));
    }
    for (name, value) in &config.set {
        edits.push(Edit::Set(name_of(name)?.into(), value_of(value)?.into()));
    }
    for (name, value) in &config.append {
        edits.push(Edit::Append(name_of(name)?.into(), value_of(value)?.into()));
    }
    Ok(edits)
}

/// A field's name in lower case, if a filter may write it (RFC 9110 5.1).
pub(crate) fn name_of(name: &str) -> Result<Rc<str>, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(format!("\"{name}\" cannot be a field's name"));
    }
    let name = name.to_ascii_lowercase();
    if FRAMING.contains(&name.as_str()) {
        return Err(format!("field \"{name}\" is the proxy's to write"));
    }
    Ok(name.into())
}

/// A field's value, if it can be one (RFC 9110 5.5).
pub(crate) fn value_of(value: &str) -> Result<Rc<str>, String> {
    if value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
        return Err(format!("{value:?} cannot be a field's value"));
    }
    Ok(value.into())
}
