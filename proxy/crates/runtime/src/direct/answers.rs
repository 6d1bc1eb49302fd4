//! The contract's answers as they lie in memory: decisions, interests and the results of `update`.
//!
//! Offsets follow from `wit/policy.wit` by CanonicalABI.md, "Alignment" and "Element Size": fields in their order,
//! each at the next multiple of its alignment; a variant is its case as a byte, then the payload at a multiple of
//! the largest alignment of all payloads. Below they stand as constants; the sizes that come of them are compared
//! with those that the component lane computes.

use wasmtime::component::ComponentType;

use super::lift::{Lift, Malformed, Pair, byte, half, long, option, pair, part, word};
use crate::{
    Decision, Interest, Passage, Question, Reply, Verdict,
    contract::{Condition, Edit, Fact, FormerHooks, Hooks, RawInterest, Route, Test, hooks_of},
};

pub(super) const DECISION: usize = 144;
pub(super) const CONFIGURED: usize = 44;
pub(super) const UPDATED: usize = 12;
pub(super) const VERDICT: usize = 12;
const PASSAGE: usize = 136;
const ROUTE: usize = 96;
const REPLY: usize = 32;
const QUESTION: usize = 48;
const EDIT: usize = 20;
const FIELD: usize = 16;
const CONDITION: usize = 20;
const INTEREST: usize = 40;
const TEXT: usize = 8;

const _: () = {
    const fn is<T: ComponentType>(size: usize) {
        assert!(T::SIZE32 == size);
    }
    is::<Decision>(DECISION);
    // A flag more is no byte more.
    is::<Result<RawInterest<Hooks>, String>>(CONFIGURED);
    is::<Result<RawInterest<FormerHooks>, String>>(CONFIGURED);
    is::<Result<(), String>>(UPDATED);
    is::<Verdict>(VERDICT);
    is::<Passage>(PASSAGE);
    is::<Route>(ROUTE);
    is::<Reply>(REPLY);
    is::<Question>(QUESTION);
    is::<Edit>(EDIT);
    is::<(String, Vec<u8>)>(FIELD);
    is::<Fact>(FIELD);
    is::<Condition>(CONDITION);
    is::<RawInterest<Hooks>>(INTEREST);
    is::<String>(TEXT);
};

/// Reads a decision over another one, whatever that was. There, because it is large: made here and handed on, it
/// would be copied at every step. Over the last one, because policies repeat themselves: what it says again need
/// not be allocated again. After an error it means nothing.
#[inline]
pub(super) fn decision(
    lift: &mut Lift<'_>,
    record: &[u8; DECISION],
    into: &mut Decision,
) -> Result<(), Malformed> {
    match byte::<0, DECISION>(record) {
        0 => {
            if !matches!(into, Decision::Pass(_)) {
                *into = Decision::Pass(Passage::default());
            }
            if let Decision::Pass(into) = into {
                passage(lift, part::<8, PASSAGE, DECISION>(record), into)?;
            }
        }
        1 => *into = Decision::Answer(reply(lift, part::<8, REPLY, DECISION>(record))?),
        2 => *into = Decision::Ask(question(lift, part::<8, QUESTION, DECISION>(record))?),
        other => return Err(Malformed::Case(other.into())),
    }
    Ok(())
}

#[inline]
fn passage(lift: &mut Lift<'_>, record: &[u8; PASSAGE], into: &mut Passage) -> Result<(), Malformed> {
    into.edits = lift.list(pair::<0, PASSAGE>(record), edit)?;
    match byte::<8, PASSAGE>(record) {
        0 => into.route = None,
        1 => {
            let into = into.route.get_or_insert_default();
            route(lift, part::<16, ROUTE, PASSAGE>(record), into)?;
        }
        _ => return Err(Malformed::Option),
    }
    lift.list_into(pair::<112, PASSAGE>(record), &mut into.facts, fact)?;
    into.memo = long::<120, PASSAGE>(record);
    into.keep_ms = word::<128, PASSAGE>(record);
    into.delay_ms = word::<132, PASSAGE>(record);
    Ok(())
}

#[inline]
fn route(lift: &mut Lift<'_>, record: &[u8; ROUTE], into: &mut Route) -> Result<(), Malformed> {
    into.cluster = option(byte::<0, ROUTE>(record), || Ok(word::<4, ROUTE>(record)))?;
    lift.list_into(pair::<8, ROUTE>(record), &mut into.subset, label)?;
    into.path = option(byte::<16, ROUTE>(record), || Ok(lift.bytes(pair::<20, ROUTE>(record))?.to_vec()))?;
    optional_text(lift, byte::<28, ROUTE>(record), pair::<32, ROUTE>(record), &mut into.authority)?;
    into.timeout_ms = option(byte::<40, ROUTE>(record), || Ok(word::<44, ROUTE>(record)))?;
    into.retries = option(byte::<48, ROUTE>(record), || Ok(byte::<49, ROUTE>(record)))?;
    into.hash = option(byte::<56, ROUTE>(record), || Ok(long::<64, ROUTE>(record)))?;
    into.mirror = option(byte::<72, ROUTE>(record), || Ok(word::<76, ROUTE>(record)))?;
    optional_text(lift, byte::<80, ROUTE>(record), pair::<84, ROUTE>(record), &mut into.name)
}

#[inline]
fn optional_text(
    lift: &mut Lift<'_>,
    case: u8,
    pair: Pair,
    into: &mut Option<String>,
) -> Result<(), Malformed> {
    match case {
        0 => *into = None,
        1 => lift.text_into(pair, into.get_or_insert_default())?,
        _ => return Err(Malformed::Option),
    }
    Ok(())
}

fn reply(lift: &mut Lift<'_>, record: &[u8; REPLY]) -> Result<Reply, Malformed> {
    Ok(Reply {
        status: half::<0, REPLY>(record),
        fields: lift.list(pair::<4, REPLY>(record), field)?,
        body: lift.bytes(pair::<12, REPLY>(record))?.to_vec(),
        reason: lift.text(pair::<20, REPLY>(record))?,
        keep_ms: word::<28, REPLY>(record),
    })
}

fn question(lift: &mut Lift<'_>, record: &[u8; QUESTION]) -> Result<Question, Malformed> {
    Ok(Question {
        cluster: word::<0, QUESTION>(record),
        method: lift.text(pair::<4, QUESTION>(record))?,
        path: lift.text(pair::<12, QUESTION>(record))?,
        fields: lift.list(pair::<20, QUESTION>(record), field)?,
        body: lift.bytes(pair::<28, QUESTION>(record))?.to_vec(),
        timeout_ms: word::<36, QUESTION>(record),
        memo: lift.bytes(pair::<40, QUESTION>(record))?.to_vec(),
    })
}

fn edit(lift: &mut Lift<'_>, record: &[u8; EDIT]) -> Result<Edit, Malformed> {
    let named = part::<4, FIELD, EDIT>(record);
    match byte::<0, EDIT>(record) {
        0 => field(lift, named).map(Edit::Set),
        1 => field(lift, named).map(Edit::Append),
        2 => lift.text(pair::<0, FIELD>(named)).map(Edit::Remove),
        other => Err(Malformed::Case(other.into())),
    }
}

fn field(lift: &mut Lift<'_>, record: &[u8; FIELD]) -> Result<(String, Vec<u8>), Malformed> {
    let name = lift.text(pair::<0, FIELD>(record))?;
    Ok((name, lift.bytes(pair::<8, FIELD>(record))?.to_vec()))
}

fn label(
    lift: &mut Lift<'_>,
    record: &[u8; FIELD],
    (name, value): &mut (String, String),
) -> Result<(), Malformed> {
    lift.text_into(pair::<0, FIELD>(record), name)?;
    lift.text_into(pair::<8, FIELD>(record), value)
}

fn fact(lift: &mut Lift<'_>, record: &[u8; FIELD], into: &mut Fact) -> Result<(), Malformed> {
    lift.text_into(pair::<0, FIELD>(record), &mut into.name)?;
    lift.text_into(pair::<8, FIELD>(record), &mut into.value)
}

/// `result<interest, string>`.
pub(super) fn configured(
    lift: &mut Lift<'_>,
    record: &[u8; CONFIGURED],
) -> Result<Result<Interest, String>, Malformed> {
    match byte::<0, CONFIGURED>(record) {
        0 => interest(lift, part::<4, INTEREST, CONFIGURED>(record)).map(Ok),
        1 => lift.text(pair::<4, CONFIGURED>(record)).map(Err),
        _ => Err(Malformed::Result),
    }
}

fn interest(lift: &mut Lift<'_>, record: &[u8; INTEREST]) -> Result<Interest, Malformed> {
    Ok(Interest {
        hooks: hooks_of(byte::<0, INTEREST>(record)),
        when: lift.list(pair::<4, INTEREST>(record), condition)?,
        request: lift.list(pair::<12, INTEREST>(record), name)?,
        response: lift.list(pair::<20, INTEREST>(record), name)?,
        clusters: lift.list(pair::<28, INTEREST>(record), name)?,
        body_limit: word::<36, INTEREST>(record),
    })
}

fn condition(lift: &mut Lift<'_>, record: &[u8; CONDITION]) -> Result<Condition, Malformed> {
    let name = lift.text(pair::<0, CONDITION>(record))?;
    let test = match byte::<8, CONDITION>(record) {
        0 => Test::Present,
        1 => Test::Absent,
        2 => Test::Equals(lift.text(pair::<12, CONDITION>(record))?),
        3 => Test::StartsWith(lift.text(pair::<12, CONDITION>(record))?),
        other => return Err(Malformed::Case(other.into())),
    };
    Ok(Condition { name, test })
}

fn name(lift: &mut Lift<'_>, record: &[u8; TEXT]) -> Result<String, Malformed> {
    lift.text(pair::<0, TEXT>(record))
}

/// `result<_, string>`.
pub(super) fn updated(lift: &mut Lift<'_>, record: &[u8; UPDATED]) -> Result<Result<(), String>, Malformed> {
    match byte::<0, UPDATED>(record) {
        0 => Ok(Ok(())),
        1 => lift.text(pair::<4, UPDATED>(record)).map(Err),
        _ => Err(Malformed::Result),
    }
}

/// `verdict`.
pub(super) fn verdict(lift: &mut Lift<'_>, record: &[u8; VERDICT]) -> Result<Verdict, Malformed> {
    match byte::<0, VERDICT>(record) {
        0 => option(byte::<4, VERDICT>(record), || Ok(word::<8, VERDICT>(record))).map(Verdict::Pass),
        1 => lift.text(pair::<4, VERDICT>(record)).map(Verdict::Refuse),
        other => Err(Malformed::Case(other.into())),
    }
}
