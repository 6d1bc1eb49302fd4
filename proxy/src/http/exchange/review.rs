//! Review: the filters of the chain see the response's head, in reverse order.

use std::rc::Rc;

use weir_runtime::{Decision, HookSet};

use super::{Answer, Exchange, Stop};
use crate::{
    chain::{Ruling, apply_to_response, check_reply},
    http::reply::Length,
};

impl Exchange<'_> {
    /// Shows the response's head to the filters that saw the request. One may replace the response: then
    /// the others are shown its head, and the body of the old one is dropped.
    pub(super) fn review(&mut self, _length: Length) -> Result<Option<Answer>, Stop> {
        let mut replaced = None;
        for at in (0..self.seats.len()).rev() {
            let seat = &self.seats[at];
            if !seat.passed || !seat.filter.wants(HookSet::RESPONSE) {
                continue;
            }
            let (filter, memo) = (Rc::clone(&seat.filter), seat.memo);
            let ruling = filter.on_response(
                &self.state.worker,
                self.id,
                memo,
                &self.heads.response,
                &mut self.heads.request,
            );
            if let Some(answer) = self.apply_review(&filter, ruling)? {
                answer.fill(&mut self.heads.response);
                replaced = Some(answer);
            }
        }
        Ok(replaced)
    }

    fn apply_review(
        &mut self,
        filter: &Rc<crate::chain::LocalFilter>,
        ruling: Ruling,
    ) -> Result<Option<Answer>, Stop> {
        let mut ruling = ruling;
        // Twice at the most: a decision that cannot be carried out becomes a fault, which is ruled on.
        loop {
            let given = match ruling {
                Ruling::Decided(given) => given,
                Ruling::Skipped => return Ok(None),
                Ruling::Denied(error) => return Err(error.into()),
            };
            let applied = match &*given {
                Decision::Pass(passage) => {
                    apply_to_response(passage, &mut self.heads.response.fields).map(|()| None)
                }
                Decision::Answer(reply) => check_reply(reply).map(|()| Some(Answer::new(filter, reply))),
                Decision::Ask(_) => Err("asks in on-response".to_owned()),
            };
            match applied {
                Ok(answer) => return Ok(answer),
                Err(wrong) => ruling = filter.wrong_answer(&self.state.worker, &wrong),
            }
        }
    }
}
