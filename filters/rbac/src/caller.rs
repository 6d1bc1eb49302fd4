//! Conditions on the caller: what a request and a connection tell of it alike.

use weir_sdk::{Field, Setup};

use crate::config::RuleConfig;
use crate::identity::Caller;
use crate::network::{Name, Network};
use crate::rule::{each, some};
use crate::subject::{Known, Subject};

pub(crate) enum Condition {
    From(Field, Vec<Caller>),
    Address(Field, Vec<Network>),
    Sni(Field, Vec<Name>),
    Listener(Field, Vec<String>),
}

impl Condition {
    /// Those of a rule.
    pub(crate) fn all(config: &RuleConfig, setup: &mut Setup) -> Result<Vec<Self>, String> {
        let mut all = Vec::new();
        if let Some(from) = &config.from {
            all.push(Condition::From(Known::Identity.ask(setup), each(from, "from", Caller::new)?));
        }
        if let Some(address) = &config.address {
            all.push(Condition::Address(Known::Address.ask(setup), each(address, "address", Network::new)?));
        }
        if let Some(sni) = &config.sni {
            all.push(Condition::Sni(Known::Sni.ask(setup), each(sni, "sni", Name::new)?));
        }
        if let Some(listener) = &config.listener {
            all.push(Condition::Listener(Known::Listener.ask(setup), some(listener, "listener")?.to_vec()));
        }
        Ok(all)
    }

    pub(crate) fn holds(&self, subject: Subject<'_>) -> bool {
        match self {
            Condition::From(field, callers) => {
                let identity = subject.text(Known::Identity, *field);
                callers.iter().any(|caller| caller.matches(identity))
            }
            Condition::Address(field, networks) => {
                let address = subject.address(*field);
                address.is_some_and(|address| networks.iter().any(|network| network.contains(address)))
            }
            Condition::Sni(field, names) => {
                let asked = subject.text(Known::Sni, *field);
                asked.is_some_and(|asked| names.iter().any(|name| name.matches(asked)))
            }
            Condition::Listener(field, listeners) => {
                let name = subject.text(Known::Listener, *field);
                name.is_some_and(|name| listeners.iter().any(|listener| listener == name))
            }
        }
    }
}
