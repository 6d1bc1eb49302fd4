//! Files of endpoints: what `[clusters.NAME.discovery] file` names.
//!
//! They are checked with the same rules as the configuration, and told about in the same way: every problem at
//! once, with its place.

use std::path::Path;

use crate::{
    Report, check,
    checked::{Cluster, Endpoint, UpstreamTls},
    document::Document,
    file, findings, read_text, shape,
};

/// Endpoints of one file, and so of one cluster.
pub(crate) const ENDPOINTS_MAX: usize = 65_536;

/// Reads the file of a cluster's endpoints: TOML, or JSON if its name ends in `.json`. Relative paths of Unix
/// sockets are relative to its folder. It may say that there are none.
///
/// # Errors
/// Everything that is wrong with it, at once; or the one reason why it could not be read.
pub fn load_endpoints(path: &Path, cluster: &Cluster) -> Result<Vec<Endpoint>, Report> {
    let name = path.display().to_string();
    let text = read_text(path, &name)?;
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let document = match is_json {
        true => Document::parse_json(&text, &name)?,
        false => Document::parse(&text, &name)?,
    };
    let unnamed_tls = matches!(&cluster.tls, Some(UpstreamTls::Names(names)) if names.server_name.is_none());
    let base_dir = path.parent().unwrap_or(Path::new(""));
    let mut findings = findings::Findings::new(&document);
    let endpoints = shape::read::<file::EndpointsFile>(&document, &mut findings)
        .and_then(|file| check::endpoints(&file, &document, base_dir, unnamed_tls, &mut findings));
    let report = findings.finish();
    match endpoints {
        Some(endpoints) if !report.has_errors() => Ok(endpoints),
        _ => Err(report),
    }
}
