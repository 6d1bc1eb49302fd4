//! Messages as both sides of an exchange know them, whatever HTTP version carried them.

mod connection;
mod request;
mod route;

pub use crate::http::{
    fields::{FieldName, Fields},
    head::{Method, RequestHead, ResponseHead, Scheme, Version},
    known::{Known, KnownSet},
    syntax::{legal_name, legal_value},
};
pub use connection::{ConnectionInfo, Home};
pub use request::{Request, RequestId};
pub use route::RouteChoice;
