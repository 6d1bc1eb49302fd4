//! Connect: what `CONNECT` asks for (RFC 9110 9.3.6) - a tunnel to an endpoint of the cluster that was chosen, whatever
//! authority was named. Apart from attempts, since there is no request to send and nothing to repeat but connecting.

use std::{sync::Arc, time::Duration};

use super::{Exchange, Stop, presence::while_present, retry::Tries, tunnel::Far};
use crate::{
    cluster::Purpose,
    error::Failure,
    http::{
        incoming::Incoming,
        reply::{Length, Reply},
        watch::Watch,
    },
    proxy_protocol::Told,
    stream::{Buffer, Deadline},
};

impl Exchange<'_> {
    /// Connects the caller to an endpoint.
    pub(super) async fn connect(
        &mut self,
        mut tries: Tries<'_>,
        body: &mut Incoming<'_>,
        reply: &mut Reply<'_>,
        deadline: &mut Deadline,
    ) -> Result<(), Stop> {
        let cluster = tries.cluster;
        let connection = self.heads.request.connection.as_deref();
        let told = connection.map_or(Told::Unknown, |connection| connection.told(None));
        loop {
            self.state.worker.now();
            let route = &self.heads.request.route;
            let picked = cluster.pick(&self.state.worker, &route.labels, route.hash, tries.avoid());
            let Some(picked) = picked else { return Err(Failure::NoEndpoint.into()) };
            let mut watch = Watch::begin(&self.state.worker, &cluster.shared, &picked);
            self.sofar.attempts = self.sofar.attempts.saturating_add(1);
            self.sofar.endpoint = Some(Arc::clone(picked.endpoint));
            deadline.set(Some(tries.ends));
            let dial = cluster.dial(&self.state.worker, &picked, Purpose::Bytes(told));
            let dialled = deadline.bound(while_present(body, reply, Box::pin(dial))).await;
            let connection = match dialled.map_err(|_| Failure::ExchangeTimeout)?? {
                Ok(connection) => connection,
                Err(error) => {
                    watch.stopped(error.failure);
                    if !error.failure.consequence().retry {
                        return Err(error.into());
                    }
                    let Some(wait) = self.grant(&tries, Duration::ZERO) else {
                        self.count_repeated(&tries, false);
                        return Err(error.into());
                    };
                    tries.go_elsewhere(picked.index);
                    drop(watch);
                    while_present(body, reply, tokio::time::sleep(wait)).await?;
                    continue;
                }
            };
            self.heads.response.clear();
            self.heads.response.status = 200;
            self.sofar.upstream = watch.answered(&self.heads.response);
            self.count_repeated(&tries, true);
            self.mark_response(reply);
            if let Some(answer) = self.review(Length::None)? {
                return self.send_answer(answer, reply).await;
            }
            self.sofar.status = self.heads.response.status;
            self.sofar.upgraded = true;
            reply.switch(&self.heads.response).map_err(|_| Failure::DownstreamAborted)?;
            let far = Far::H1(&connection.io, Buffer::default());
            return self.tunnel(far, body, reply).await.map_err(|failed| failed.stop);
        }
    }
}
