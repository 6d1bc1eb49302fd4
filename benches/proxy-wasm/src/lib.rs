//! Two filters of the benchmark as Envoy's authors would write them, on the proxy-wasm SDK: one that does nothing, and
//! one that reads four fields of a request and sets one. The plugin's configuration says which: `noop` or `route`.

#![cfg(target_family = "wasm")]
#![allow(missing_docs, reason = "what the SDK's macro exports has none")]

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::{Action, ContextType, LogLevel},
};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Root { routes: false }));
}}

struct Root {
    routes: bool,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        self.routes = configuration == b"route";
        self.routes || configuration == b"noop"
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(if self.routes { Box::new(Route) } else { Box::new(Noop) })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Noop;

impl Context for Noop {}

impl HttpContext for Noop {
    fn on_http_request_headers(&mut self, _fields: usize, _ends: bool) -> Action {
        Action::Continue
    }
}

/// Where a request goes, told to Envoy's own router by a field that its routes match.
struct Route;

impl Context for Route {}

impl HttpContext for Route {
    fn on_http_request_headers(&mut self, _fields: usize, _ends: bool) -> Action {
        let [path, authority, method, user] =
            [":path", ":authority", ":method", "x-user"].map(|name| self.get_http_request_header(name));
        let whole = authority.is_some() && user.is_some();
        let fits = path.is_some_and(|path| path.starts_with("/users")) && method.as_deref() == Some("GET");
        if whole && fits {
            self.set_http_request_header("x-route", Some("users"));
        }
        Action::Continue
    }
}
