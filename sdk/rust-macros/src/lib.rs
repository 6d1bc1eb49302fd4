//! The attribute that exports a Weir filter.
