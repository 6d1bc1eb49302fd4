//! Routes requests: by host, path, method, fields, query and caller's identity to a cluster, a
//! redirect or an answer. The first route that matches wins.
//!
//! `config` is what ops write, `route` what it becomes, `table` finds the route of a request through
//! `paths` (and their `segments`) and `candidates`, `condition` and `values` are what it is found by,
//! `target`, `edits` and `fault` what happens then.

mod candidates;
mod condition;
mod config;
mod edits;
mod fault;
mod paths;
mod route;
mod segments;
mod table;
mod target;
mod values;

use std::time::Duration;

use weir_sdk::{Decision, Hooks, Passage, Policy, Ready, Request, Response, Setup};

pub use config::Config;
use config::{NoMatch, RawRoutes, RouteConfig, Word};
use route::Route;
use table::Table;
use values::Shown;

/// The filter.
pub struct Router {
    shown: Shown,
    table: Table,
    routes: Vec<Route>,
    no_match: Ready,
    keep: Duration,
}

/// For so many routes room is taken before they are read; whatever says it has more has to show them first.
const ROOM: usize = 1 << 16;

/// How long decisions hold if config does not say: they follow from what is shown, so that this only bounds how long
/// one that nobody asks for takes room.
const REMEMBER: Duration = Duration::from_secs(60);

#[weir_sdk::filter]
impl Policy for Router {
    fn configure(config: Config, setup: &mut Setup) -> Result<Self, String> {
        let mut shown = Shown::default();
        let mut table = Table::default();
        let mut routes = Vec::with_capacity(config.routes.as_ref().map_or(0, RawRoutes::count).min(ROOM));
        let keep = config.remember.map_or(REMEMBER, |span| span.0);
        if let Some(raw) = &config.routes {
            raw.each(|at, route| {
                let (matcher, route) = Route::compile(&route, &mut shown, setup)
                    .map_err(|error| format!("{}: {error}", called(at, &route)))?;
                table.push(matcher);
                routes.push(route.ready(memo(at), keep));
                Ok(())
            })?;
        }
        table.finish();
        shown.finish();
        if routes.iter().all(|route| route.response_edits.is_empty()) {
            setup.without(Hooks::RESPONSE);
        }
        let no_match = Ready::new(no_match(&config.no_match, keep)?);
        Ok(Router { shown, table, routes, no_match, keep })
    }

    fn on_request(&mut self, request: &Request<'_>) -> Decision {
        let values = self.shown.of(request);
        match self.table.find(&values) {
            Some(at) => self.routes[at].decide(&values, memo(at), self.keep),
            None => (&self.no_match).into(),
        }
    }

    fn on_response(&mut self, response: &Response<'_>) -> Decision {
        let at = response.memo().checked_sub(1).and_then(|at| usize::try_from(at).ok());
        let route = at.and_then(|at| self.routes.get(at));
        let edits = route.map(|route| route.response_edits.clone()).unwrap_or_default();
        Passage { edits, memo: response.memo(), ..Passage::default() }.into()
    }
}

/// What finds a route again; 0 is that of an exchange that no route matched.
fn memo(at: usize) -> u64 {
    at as u64 + 1
}

fn no_match(config: &NoMatch, keep: Duration) -> Result<Decision, String> {
    match config {
        NoMatch::Word(Word::Pass) => Ok(Decision::pass().keep(keep).into()),
        NoMatch::Answer(status @ 200..=599) => {
            Ok(Decision::answer(*status).reason("no_route").keep(keep).into())
        }
        NoMatch::Answer(status) => Err(format!("`no_match`: {status} is no status from 200 to 599")),
    }
}

/// How an error names a route.
fn called(at: usize, route: &RouteConfig) -> String {
    match &route.name {
        Some(name) => format!("route {} (\"{name}\")", at + 1),
        None => format!("route {}", at + 1),
    }
}
