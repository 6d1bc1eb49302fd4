//! The tables against the obvious: look at every route in order. Seeded, thousands of requests.

use regex_lite::Regex;
use serde_json::{Value, json};

use super::{chosen, router};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[(self.next() % from.len() as u64) as usize]
    }
}

const HOSTS: [&str; 6] = ["a.test", "b.a.test", "c.b.a.test", "test", "x.y", ".a.test"];
const HOST_MATCHES: [&str; 6] = ["a.test", "b.a.test", "*.a.test", "*.b.a.test", "*.test", "x.y"];
const PATHS: [&str; 9] = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b/1", "/b/22/c", "//a"];
const REGEXES: [&str; 7] = ["/b/[0-9]+", "/b/[0-9]+/c", "/a.*", "/a/?", "/(a|b)/.*", "/a/b/?c?", ".*c"];
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const TENANTS: [&str; 4] = ["t1", "t2", "t3", "t22"];

#[derive(Debug)]
struct Asked {
    host: &'static str,
    path: &'static str,
    method: &'static str,
    tenant: Option<&'static str>,
    query: Option<&'static str>,
}

fn route(random: &mut Random) -> Value {
    let mut matches = json!({});
    if random.one_in(2) {
        matches["host"] = random.pick(&HOST_MATCHES).into();
    }
    match random.next() % 4 {
        0 => matches["path"] = random.pick(&PATHS).into(),
        1 => matches["path_prefix"] = random.pick(&PATHS).into(),
        2 => matches["path_regex"] = random.pick(&REGEXES).into(),
        _ => {}
    }
    if random.one_in(3) {
        matches["method"] = random.pick(&METHODS).into();
    }
    if random.one_in(2) {
        let kind = random.pick(&["exact", "exact", "exact", "prefix"]);
        matches["headers"] = json!([{ "name": "x-tenant", kind: random.pick(&TENANTS) }]);
    }
    if random.one_in(5) {
        matches["query"] = json!([{ "name": "q", "exact": random.pick(&["1", "2"]) }]);
    }
    matches
}

/// Whether a route matches, by the README.
fn fits(matches: &Value, asked: &Asked) -> bool {
    let text = |key: &str| matches[key].as_str();
    let host = text("host").is_none_or(|host| match host.strip_prefix('*') {
        Some(suffix) => asked.host.len() > suffix.len() && asked.host.ends_with(suffix),
        None => host == asked.host,
    });
    let exact = text("path").is_none_or(|path| path == asked.path);
    let below = text("path_prefix").is_none_or(|prefix| {
        let prefix = prefix.trim_end_matches('/');
        asked.path == prefix || asked.path.starts_with(&format!("{prefix}/"))
    });
    let regex = text("path_regex")
        .is_none_or(|regex| Regex::new(&format!("^(?:{regex})$")).unwrap().is_match(asked.path));
    let method = text("method").is_none_or(|method| method == asked.method);
    let tenant = matches.get("headers").is_none_or(|tests| {
        let (test, given) = (&tests[0], asked.tenant.unwrap_or("none"));
        test["exact"].as_str().is_none_or(|exact| given == exact)
            && test["prefix"].as_str().is_none_or(|prefix| given.starts_with(prefix))
    });
    let query = matches.get("query").is_none_or(|tests| tests[0]["exact"].as_str() == asked.query);
    host && exact && below && regex && method && tenant && query
}

#[test]
fn the_tables_find_what_looking_at_every_route_finds() {
    let seed = 20_260_301;
    let mut random = Random(seed);
    let mut found = 0;
    for round in 0..120 {
        let count = 1 + random.next() % 60;
        let matches: Vec<Value> = (0..count).map(|_| route(&mut random)).collect();
        let routes: Vec<Value> = matches
            .iter()
            .enumerate()
            .map(|(at, matches)| json!({ "name": at.to_string(), "match": matches, "cluster": "a" }))
            .collect();
        let filter = router(json!(routes));
        for _ in 0..60 {
            let asked = Asked {
                host: random.pick(&HOSTS),
                path: random.pick(&PATHS),
                method: random.pick(&METHODS),
                tenant: random.one_in(2).then(|| random.pick(&TENANTS)),
                query: random.one_in(3).then(|| random.pick(&["1", "2"])),
            };
            let target =
                asked.query.map_or(asked.path.to_owned(), |query| format!("{}?q={query}", asked.path));
            let mut request = filter.request().authority(asked.host).path(&target).method(asked.method);
            if let Some(tenant) = asked.tenant {
                request = request.header("x-tenant", tenant);
            }
            let expected = matches.iter().position(|matches| fits(matches, &asked)).map(|at| at.to_string());
            assert_eq!(
                chosen(&request.send()),
                expected,
                "seed {seed}, round {round}: {asked:?} in {matches:?}"
            );
            found += usize::from(expected.is_some());
        }
    }
    assert!(found > 2_000, "only {found} requests met a route: the test tests little");
}
