//! What a filter declares in `configure`: the values it wants shown, when it wants to be called, and
//! the clusters it may name.
//!
//! Everything asked for is answered with a handle (`Field`, `ResponseField`, `Cluster`), so a hook
//! cannot read a value the proxy was not told to show.

use std::num::NonZeroU32;

use crate::policy::Hooks;
use crate::text::Text;

/// A value of the request, asked for with [`Setup::request`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Field(pub(crate) u32);

/// A field of the response, asked for with [`Setup::response`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResponseField(pub(crate) u32);

/// A cluster, named with [`Setup::cluster`].
///
/// Holds one more than the position, so that `Option<Cluster>` is no larger: that brings a passage down to 128
/// bytes, which are moved in place, where longer ones are moved by a call out of WebAssembly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cluster(NonZeroU32);

impl Cluster {
    pub(crate) fn at(position: u32) -> Self {
        Cluster(NonZeroU32::MIN.saturating_add(position))
    }

    /// In the clusters that `configure` named.
    pub(crate) fn position(self) -> u32 {
        self.0.get() - 1
    }
}

/// A test the proxy makes on one value of the request before it calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// A name as in [`Setup::request`].
    pub name: Text,
    /// What must hold.
    pub test: Test,
}

/// The test of a [`Condition`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// The value is there.
    Present,
    /// The value is not there.
    Absent,
    /// The value is this.
    Equals(Text),
    /// The value begins with this.
    StartsWith(Text),
}

impl Condition {
    /// The value is there.
    pub fn present(name: impl Into<Text>) -> Self {
        Condition { name: name.into(), test: Test::Present }
    }

    /// The value is not there.
    pub fn absent(name: impl Into<Text>) -> Self {
        Condition { name: name.into(), test: Test::Absent }
    }

    /// The value is this.
    pub fn equals(name: impl Into<Text>, value: impl Into<Text>) -> Self {
        Condition { name: name.into(), test: Test::Equals(value.into()) }
    }

    /// The value begins with this.
    pub fn starts_with(name: impl Into<Text>, value: impl Into<Text>) -> Self {
        Condition { name: name.into(), test: Test::StartsWith(value.into()) }
    }

    /// Whether the value meets the test.
    pub fn holds(&self, value: Option<&[u8]>) -> bool {
        match &self.test {
            Test::Present => value.is_some(),
            Test::Absent => value.is_none(),
            Test::Equals(text) => value == Some(text.as_bytes()),
            Test::StartsWith(text) => value.is_some_and(|value| value.starts_with(text.as_bytes())),
        }
    }
}

/// Handed to `configure` to declare what the filter needs.
#[derive(Debug)]
pub struct Setup {
    pub(crate) filter: String,
    pub(crate) hooks: Hooks,
    pub(crate) when: Vec<Condition>,
    pub(crate) request: Vec<Text>,
    pub(crate) response: Vec<Text>,
    pub(crate) clusters: Vec<Text>,
    /// Positions in `clusters`, by name: a router names a thousand of them ten thousand times.
    clusters_by_name: Vec<u32>,
    pub(crate) body_limit: u32,
}

impl Setup {
    pub(crate) fn new(filter: String, hooks: Hooks) -> Self {
        Setup {
            filter,
            hooks,
            when: Vec::new(),
            request: Vec::new(),
            response: Vec::new(),
            clusters: Vec::new(),
            clusters_by_name: Vec::new(),
            body_limit: 0,
        }
    }

    /// The filter's name in the proxy's config.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Asks for a value of the request to be shown in `on_request`.
    ///
    /// - a field, in lower case: `authorization`. Several are joined with ", ", `cookie` with "; ";
    /// - a part of the head: `:method`, `:scheme`, `:authority`, `:path` (without query), `:query`
    ///   (without "?"), `:fields` (every field as "name: value\r\n");
    /// - a fact of an earlier filter: `@auth.subject`;
    /// - what the proxy knows: `@peer.address` (IP, no port), `@peer.identity` (URI SAN), `@tls.sni`,
    ///   `@listener`, `@request.id`, `@route.cluster` (first the listener's own);
    /// - what changes each time, read with [`Request::number`](crate::Request::number): `@time.ms`,
    ///   `@random`. A filter that sees one of these is never remembered.
    pub fn request(&mut self, name: impl Into<Text>) -> Field {
        Field(position(&mut self.request, name.into()))
    }

    /// Asks for a field of the response to be shown in `on_response`.
    pub fn response(&mut self, name: impl Into<Text>) -> ResponseField {
        ResponseField(position(&mut self.response, name.into()))
    }

    /// Names a cluster to route to or to ask. `configure` fails if config does not know or grant it.
    pub fn cluster(&mut self, name: impl Into<Text>) -> Cluster {
        let name = name.into();
        let known = self.clusters_by_name.binary_search_by(|at| self.clusters[*at as usize].cmp(&name));
        Cluster::at(match known {
            Ok(place) => self.clusters_by_name[place],
            Err(place) => {
                let at = u32::try_from(self.clusters.len()).unwrap_or(u32::MAX);
                self.clusters_by_name.insert(place, at);
                self.clusters.push(name);
                at
            }
        })
    }

    /// Only exchanges that meet one of the conditions given are shown; for others no hook is called.
    pub fn when(&mut self, condition: Condition) {
        self.when.push(condition);
    }

    /// Leaves out a hook that is written but that this config does not need: it is never called then.
    pub fn without(&mut self, hook: Hooks) {
        self.hooks = self.hooks.without(hook);
    }

    /// The largest body shown to `on_request_body`, in bytes; a longer one is answered 413. The
    /// proxy's own bound (`limits.body`) applies as well. 1 MiB unless said.
    pub fn body_limit(&mut self, bytes: u32) {
        self.body_limit = bytes;
    }

    /// The limit the proxy is told: none said means 1 MiB, but only where bodies are shown at all.
    pub(crate) fn shown_body(&self) -> u32 {
        if !self.hooks.contains(Hooks::REQUEST_BODY) || self.body_limit > 0 {
            return self.body_limit;
        }
        1 << 20
    }
}

/// Where the name stands in the list; added if it does not.
fn position(names: &mut Vec<Text>, name: Text) -> u32 {
    let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
        names.push(name);
        names.len() - 1
    });
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_one_position_however_often_it_is_named() {
        let mut setup = Setup::new("test".to_owned(), Hooks::REQUEST);
        let named: Vec<u32> = ["m", "a", "z", "m", "b", "z", "a"]
            .into_iter()
            .map(|name| setup.cluster(name).position())
            .collect();
        assert_eq!(named, [0, 1, 2, 0, 3, 2, 1]);
        assert_eq!(setup.clusters, ["m", "a", "z", "b"]);
    }
}
