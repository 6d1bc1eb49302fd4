//! HTTP: the codecs, the connections of callers, and the exchange between them and the endpoints.

pub mod ask;
pub mod check;
pub mod downstream_h1;
pub mod downstream_h2;
pub mod exchange;
pub mod fields;
mod fields_h2;
pub mod h1;
pub mod head;
mod incoming;
pub mod known;
pub mod opening;
mod outgoing;
mod pump;
mod refused;
mod reply;
pub mod syntax;
pub mod target;
mod upstream;
mod watch;
mod websocket;
