//! Checks of `[clusters.NAME.health]` and `[clusters.NAME.ejection]`.

use super::Checker;
use crate::{
    checked::{Check, Ejection, Health, HealthKind, SuccessRate, UpstreamProtocol},
    document::Place,
    file,
};

impl Checker<'_, '_> {
    pub(super) fn ejection(&mut self, file: &file::Ejection, at: &Place<'_>) -> Ejection {
        if file.most_time.0 < file.time.0 {
            let reason = format!("is shorter than the first ejection ({})", file.time);
            self.findings.value(&at.key("most_time"), reason, "lengthen it, or shorten time");
        }
        Ejection {
            consecutive_failures: file.consecutive_failures,
            time: file.time.0,
            most_time: file.most_time.0,
            most_percent: file.most_percent,
            success_rate: file.success_rate.as_ref().map(|rate| SuccessRate {
                interval: rate.interval.0,
                requests: rate.requests,
                endpoints: rate.endpoints,
                deviations: rate.deviations,
            }),
        }
    }

    /// None: something is wrong with it, and that has been reported.
    pub(super) fn health(
        &mut self,
        cluster: &file::Cluster,
        file: &file::Health,
        at: &Place<'_>,
    ) -> Option<Health> {
        let check = match file.check? {
            HealthKind::Tcp => Check::Tcp,
            HealthKind::Grpc => {
                if cluster.protocol == UpstreamProtocol::H1
                    || (cluster.protocol == UpstreamProtocol::Auto && cluster.tls.is_none())
                {
                    self.findings.value(
                        &at.key("check"),
                        "gRPC takes HTTP/2, which is not spoken with this cluster",
                        "add protocol = \"h2\" to the cluster",
                    );
                }
                Check::Grpc { service: file.service.as_str().into() }
            }
            HealthKind::Http => {
                let legal =
                    file.path.starts_with('/') && file.path.bytes().all(|byte| byte.is_ascii_graphic());
                if !legal {
                    let reason = format!("`{}` is not a path", file.path.escape_debug());
                    self.findings.value(&at.key("path"), reason, "it begins with \"/\": \"/healthz\"");
                }
                let statuses: Vec<u16> = file.statuses.items().map(|(_, status)| *status).collect();
                if statuses.is_empty() {
                    self.findings.value(&at.key("statuses"), "no answer would mean well", "[200]");
                }
                Check::Http { path: file.path.as_str().into(), host: self.host(file, at), statuses }
            }
        };
        Some(Health {
            check,
            interval: file.interval.0,
            timeout: file.timeout.0,
            fall: file.fall,
            rise: file.rise,
            initial: file.initial,
        })
    }

    fn host(&mut self, file: &file::Health, at: &Place<'_>) -> Option<std::sync::Arc<str>> {
        let host = file.host.as_deref()?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(legal) {
            let reason = format!("`{}` is not a host", host.escape_debug());
            self.findings.value(&at.key("host"), reason, "write a name, with a port if there is one");
        }
        Some(host.into())
    }
}
