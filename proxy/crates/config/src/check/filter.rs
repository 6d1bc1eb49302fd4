//! Checks of `[filters.NAME]`.

use std::{collections::BTreeMap, sync::Arc};

use super::Checker;
use crate::{
    checked::{ClusterId, DataSource, Filter, FilterLimits, Grants, WasmSource},
    document::Place,
    file::{self, FilePath, List, Named, Wasm},
};

impl Checker<'_, '_> {
    pub(super) fn filter(
        &mut self,
        name: &str,
        file: &file::Filter,
        clusters: &Named<file::Cluster>,
        at: &Place<'_>,
    ) -> Option<Filter> {
        let wasm = file.wasm.as_ref().map(|wasm| match wasm {
            Wasm::Builtin(name) => WasmSource::Builtin(name.as_str().into()),
            Wasm::File(path) => WasmSource::File(self.existing(&FilePath(path.clone()), &at.key("wasm"))),
        });
        let data_at = at.key("data");
        let data: Vec<_> = file
            .data
            .iter()
            .map(|(name, data)| Some((name.into(), self.data(data, clusters, &data_at.key(name))?)))
            .collect();
        let grants_at = at.key("grants");
        let to_route = file.grants.clusters.as_ref();
        let grants = Grants {
            clusters: to_route.map(|names| self.cluster_ids(names, &grants_at.key("clusters"))),
            ask: self.asked(&file.grants.ask, &grants_at.key("ask")),
        };
        Some(Filter {
            name: name.into(),
            wasm: wasm?,
            sha256: file.sha256.as_ref().map(|sum| sum.0),
            on_fault: file.on_fault,
            limits: limits(&file.limits),
            config_json: self.config_json(&at.key("config"))?,
            data: data.into_iter().collect::<Option<BTreeMap<_, _>>>()?,
            grants,
        })
    }

    /// From the document itself: a router's table may be most of the file.
    fn config_json(&self, at: &Place<'_>) -> Option<Arc<str>> {
        let Some(config) = self.document.node(at) else { return Some("{}".into()) };
        // It may be most of the file, and is about as long in JSON; room that is not written to costs nothing.
        let mut json = Vec::with_capacity(self.document.text().len());
        serde_json::to_writer(&mut json, config).ok()?;
        String::from_utf8(json).ok().map(Arc::from)
    }

    fn data(
        &mut self,
        file: &file::Data,
        clusters: &Named<file::Cluster>,
        at: &Place<'_>,
    ) -> Option<DataSource> {
        let written = |key| self.document.has(&at.key(key));
        match (written("file"), written("url")) {
            (true, false) => {
                for key in ["cluster", "refresh"].into_iter().filter(|key| written(key)) {
                    let reason = format!("`{key}` belongs to `url`, not to `file`");
                    self.findings.key(
                        &at.key(key),
                        reason,
                        "leave it out; a file is read again when it changes",
                    );
                }
                let path = file.file.as_ref()?;
                Some(DataSource::File(self.existing(path, &at.key("file"))))
            }
            (false, true) => self.address(file, clusters, at),
            (true, true) => {
                self.findings.key(at, "has both `file` and `url`", "keep one of them");
                None
            }
            (false, false) => {
                let help = "write { file = \"jwks.json\" } or { url = \"https://...\", cluster = \"idp\" }";
                self.findings.key(at, "has neither `file` nor `url`", help);
                None
            }
        }
    }

    fn asked(&mut self, names: &List<file::Name>, at: &Place<'_>) -> Vec<ClusterId> {
        names.items().for_each(|(i, name)| self.has_endpoints(&name.0, &at.item(i)));
        self.cluster_ids(names, at)
    }

    fn address(
        &mut self,
        file: &file::Data,
        clusters: &Named<file::Cluster>,
        at: &Place<'_>,
    ) -> Option<DataSource> {
        let cluster_at = at.key("cluster");
        if !self.document.has(&cluster_at) {
            let help = "name the cluster that it is fetched through: cluster = \"idp\"";
            self.findings.key(at, "the key `cluster` is missing", help);
        }
        let name = file.cluster.as_ref()?;
        let cluster = self.cluster_id(name, &cluster_at);
        self.has_endpoints(&name.0, &cluster_at);
        let url = file.url.as_ref()?;
        let plain = clusters.iter().any(|(known, cluster)| known == name.0 && cluster.tls.is_none());
        if url.secure && plain && !self.document.has(&Place::Root.key("clusters").key(&name.0).key("tls")) {
            let reason = format!("the address is `https`, but the cluster `{}` does not speak TLS", name.0);
            self.findings.value(&at.key("url"), reason, format!("add [clusters.{}.tls]", name.0));
        }
        Some(DataSource::Url {
            cluster: cluster?,
            authority: url.authority.as_str().into(),
            path: url.path.as_str().into(),
            refresh: file.refresh.0,
        })
    }
}

fn limits(file: &file::FilterLimits) -> FilterLimits {
    FilterLimits {
        time: file.time.0,
        memory: file.memory.bytes(),
        host_calls: file.host_calls,
        state: file.state.bytes(),
        body: file.body.bytes(),
        answer: file.answer.bytes(),
        remembered: file.remembered as usize,
    }
}
