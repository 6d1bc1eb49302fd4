//! A route: what it demands, and what becomes of the exchanges that match.

use std::rc::Rc;
use std::time::Duration;

use weir_sdk::{Bytes, Decision, Edit, Passage, Ready, Reply, Setup, random};

use crate::condition;
use crate::config::{HashConfig, MatchConfig, ReplyConfig, RouteConfig};
use crate::edits;
use crate::fault::Fault;
use crate::paths::{PathKey, literal_beginning};
use crate::table::{HostKey, Matcher, host_of};
use crate::target::{Location, Matched, Rewrite, require_path};
use crate::values::{Shown, Source, Values};

#[derive(Debug)]
pub(crate) struct Route {
    name: Option<Rc<str>>,
    action: Action,
    fault: Option<Fault>,
    pub(crate) response_edits: Vec<Edit>,
}

#[derive(Debug)]
enum Action {
    /// The same for every exchange.
    Ready(Ready),
    Forward(Forward),
    Redirect(u16, Location),
    Answer(Reply),
}

/// How an exchange is sent on: what is the same for all, and what is made from each.
#[derive(Debug)]
struct Forward {
    passage: Passage,
    rewrite: Option<Rewrite>,
    hash: Option<Source>,
}

impl Route {
    /// What config says, checked; values and clusters it needs are asked for.
    pub(crate) fn compile(
        config: &RouteConfig,
        shown: &mut Shown,
        setup: &mut Setup,
    ) -> Result<(Matcher, Route), String> {
        let matched = matched(&config.matches);
        let matcher = matcher(&config.matches, shown, setup).map_err(|error| format!("`match`: {error}"))?;
        let action = match (&config.cluster, &config.redirect, &config.reply) {
            (Some(cluster), None, None) => Action::Forward(forward(cluster, config, matched, shown, setup)?),
            (None, Some(redirect), None) => {
                shown.ask_location(setup);
                let location =
                    Location::new(redirect, matched).map_err(|error| format!("`redirect`: {error}"))?;
                Action::Redirect(redirect.status, location)
            }
            (None, None, Some(reply)) => {
                Action::Answer(fixed_reply(reply).map_err(|error| format!("`reply`: {error}"))?)
            }
            _ => return Err("one of `cluster`, `redirect` and `reply`, and only one".to_owned()),
        };
        if !matches!(action, Action::Forward(_)) {
            refuse_forwarding(config)?;
        }
        let fault = config.fault.as_ref().map(Fault::new).transpose().map_err(|e| format!("`fault`: {e}"))?;
        let response_edits =
            edits::compile(&config.response_headers).map_err(|e| format!("`response_headers`: {e}"))?;
        let name = config.name.as_deref().map(Rc::from);
        Ok((matcher, Route { name, action, fault, response_edits }))
    }

    /// The route with its decision made already, if nothing of that is made from the exchange. `memo` and `keep`
    /// are those that [`decide`](Self::decide) will be called with.
    pub(crate) fn ready(mut self, memo: u64, keep: Duration) -> Self {
        if self.fault.is_some() {
            return self;
        }
        self.action = match self.action {
            Action::Forward(Forward { passage, rewrite: None, hash: None }) => Action::Ready(Ready::new(
                self.name.iter().fold(passage.memo(memo).keep(keep), Passage::route_name),
            )),
            Action::Answer(reply) => Action::Ready(Ready::new(reply.keep(keep))),
            action => action,
        };
        self
    }

    /// The decision for an exchange. `memo` finds the route again in `on_response`; `keep` is how long
    /// decisions may be remembered.
    pub(crate) fn decide(&self, values: &Values<'_>, memo: u64, keep: Duration) -> Decision {
        // A fault is drawn anew for each exchange: remembered, it would befall all or none.
        let keep = if self.fault.is_some() { Duration::ZERO } else { keep };
        let dealt = self.fault.as_ref().map(|fault| fault.draw(random()));
        if let Some(status) = dealt.as_ref().and_then(|dealt| dealt.abort) {
            return Decision::answer(status).reason("fault").into();
        }
        match &self.action {
            Action::Ready(ready) => ready.into(),
            Action::Forward(forward) => {
                let mut passage = forward.passage(values).memo(memo).keep(keep);
                if let Some(name) = &self.name {
                    passage = passage.route_name(name);
                }
                match dealt.and_then(|dealt| dealt.delay) {
                    Some(delay) => passage.delay(delay).into(),
                    None => passage.into(),
                }
            }
            Action::Redirect(status, location) => Decision::answer(*status)
                .header("location", location.of(values))
                .reason("redirect")
                .keep(keep)
                .into(),
            Action::Answer(reply) => reply.clone().keep(keep).into(),
        }
    }
}

impl Forward {
    fn passage(&self, values: &Values<'_>) -> Passage {
        let mut passage = self.passage.clone();
        if let Some(rewrite) = &self.rewrite {
            passage = passage.path(rewrite.apply(values));
        }
        match self.hash.as_ref().and_then(|source| values.get(source)) {
            Some(value) => passage.hash(stable_hash(&value)),
            None => passage,
        }
    }
}

fn forward(
    cluster: &str,
    config: &RouteConfig,
    matched: Option<Matched>,
    shown: &mut Shown,
    setup: &mut Setup,
) -> Result<Forward, String> {
    let mut passage = Decision::pass().to(shown.ask_cluster(setup, cluster));
    passage.edits = edits::compile(&config.request_headers).map_err(|e| format!("`request_headers`: {e}"))?;
    for (label, value) in &config.subset {
        passage = passage.subset(Rc::from(label.as_str()), Rc::from(value.as_str()));
    }
    if let Some(timeout) = config.timeout {
        passage = passage.timeout(timeout.0);
    }
    if let Some(retries) = config.retries {
        passage = passage.retries(retries);
    }
    if let Some(policy) = &config.retry_policy {
        passage = passage.fact("retry.policy", Rc::from(policy.as_str()));
    }
    if let Some(mirror) = &config.mirror {
        passage = passage.mirror(shown.ask_cluster(setup, mirror));
    }
    if let Some(authority) = &config.rewrite.authority {
        let authority = edits::value_of(authority).map_err(|error| format!("`rewrite`: {error}"))?;
        passage = passage.authority(authority);
    }
    let rewrite = config.rewrite.path_prefix.as_ref().map(|prefix| Rewrite::new(prefix, matched)).transpose();
    let rewrite = rewrite.map_err(|error| format!("`rewrite`: {error}"))?;
    if rewrite.is_some() {
        shown.ask_target(setup);
    }
    let hash = config.hash.as_ref().map(|hash| hash_source(hash, shown, setup)).transpose()?;
    Ok(Forward { passage, rewrite, hash })
}

/// Keys that say how to send are wrong where nothing is sent.
fn refuse_forwarding(config: &RouteConfig) -> Result<(), String> {
    let said = [
        ("timeout", config.timeout.is_some()),
        ("retries", config.retries.is_some()),
        ("retry_policy", config.retry_policy.is_some()),
        ("mirror", config.mirror.is_some()),
        ("subset", !config.subset.is_empty()),
        ("hash", config.hash.is_some()),
        ("rewrite", config.rewrite.path_prefix.is_some() || config.rewrite.authority.is_some()),
        ("request_headers", !edits::compile(&config.request_headers)?.is_empty()),
        ("response_headers", !edits::compile(&config.response_headers)?.is_empty()),
    ];
    match said.iter().find(|(_, said)| *said) {
        Some((key, _)) => Err(format!("`{key}` goes with `cluster`")),
        None => Ok(()),
    }
}

fn fixed_reply(config: &ReplyConfig) -> Result<Reply, String> {
    if !(200..=599).contains(&config.status) {
        return Err("`status` must be 200 to 599".to_owned());
    }
    let mut reply = Decision::answer(config.status).reason("reply");
    for (name, value) in &config.headers {
        reply = reply.header(edits::name_of(name)?, edits::value_of(value)?);
    }
    let typed = reply.fields.iter().any(|(name, _)| *name == "content-type");
    if !typed && !config.body.is_empty() {
        reply = reply.header("content-type", "text/plain; charset=utf-8");
    }
    Ok(reply.body(Bytes::SharedText(config.body.as_str().into())))
}

fn matcher(config: &MatchConfig, shown: &mut Shown, setup: &mut Setup) -> Result<Matcher, String> {
    let hosts = config.host.as_slice();
    if !hosts.is_empty() {
        shown.ask_host(setup);
    }
    let hosts = match hosts {
        [] => vec![HostKey::Any],
        hosts => hosts.iter().map(|host| host_key(host)).collect::<Result<_, _>>()?,
    };
    let (path, regex) = match (&config.path, &config.path_prefix, &config.path_regex) {
        (None, None, None) => (PathKey::Below(String::new()), None),
        (Some(path), None, None) => {
            require_path(path)?;
            (PathKey::Exact(path.clone()), None)
        }
        (None, Some(prefix), None) => {
            require_path(prefix)?;
            (PathKey::Below(prefix.trim_end_matches('/').to_owned()), None)
        }
        (None, None, Some(pattern)) => {
            (PathKey::RegexBelow(literal_beginning(pattern)), Some(condition::whole(pattern)?))
        }
        _ => return Err("only one of `path`, `path_prefix` and `path_regex`".to_owned()),
    };
    if path != PathKey::Below(String::new()) {
        shown.ask_path(setup);
    }
    Ok(Matcher { hosts, path, regex, conditions: condition::compile(config, shown, setup)? })
}

fn host_key(host: &str) -> Result<HostKey, String> {
    let name = host_of(host);
    match name.strip_prefix("*.") {
        _ if name.is_empty() => Err("`host` is empty".to_owned()),
        _ if name.len() < host.trim_end_matches('.').len() => {
            Err(format!("host \"{host}\": without the port"))
        }
        Some(rest) if !rest.is_empty() && !rest.contains('*') => Ok(HostKey::Below(rest.to_owned())),
        None if *name == *"*" => Ok(HostKey::Any),
        None if !name.contains('*') => Ok(HostKey::Exact(name.into_owned())),
        _ => Err(format!("host \"{host}\": a \"*\" stands alone or as \"*.\" at the front")),
    }
}

/// What a rewrite would replace; nothing can be said of a regex.
fn matched(config: &MatchConfig) -> Option<Matched> {
    match (&config.path, &config.path_prefix, &config.path_regex) {
        (Some(_), _, _) => Some(Matched::Whole),
        (_, Some(prefix), _) => Some(Matched::Prefix(prefix.trim_end_matches('/').len())),
        (_, _, Some(_)) => None,
        (None, None, None) => Some(Matched::Prefix(0)),
    }
}

fn hash_source(config: &HashConfig, shown: &mut Shown, setup: &mut Setup) -> Result<Source, String> {
    match (&config.header, &config.cookie, &config.query, config.address) {
        (Some(name), None, None, false) => {
            Ok(shown.ask_header(setup, &edits::name_of(name).map_err(|error| format!("`hash`: {error}"))?))
        }
        (None, Some(name), None, false) => Ok(shown.ask_cookie(setup, name)),
        (None, None, Some(name), false) => Ok(shown.ask_query(setup, name)),
        (None, None, None, true) => Ok(shown.ask_address(setup)),
        _ => Err("`hash`: one of `header`, `cookie`, `query` and `address`".to_owned()),
    }
}

/// FNV-1a, then SplitMix64's finaliser for the high bits. The same in every worker and version: a key
/// must not change its endpoint because the filter was swapped.
fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
