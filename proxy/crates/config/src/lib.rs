//! Weir's configuration: file types, checked configuration, diagnostics, JSON schema.

pub mod checked;
