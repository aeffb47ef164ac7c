//! Plans that are kept with a rule, for its views are kept up to date with every change.

use std::sync::{Arc, Mutex, PoisonError};

use super::plan::{Body, Plan, Start, plan};
use crate::program::{Literal, Program};
use crate::state::State;

/// What a kept plan starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nothing.
    Nothing,
    /// Given rows of a literal.
    Literal(usize),
    /// Given rows of the head's first columns, so many of them.
    Head(usize),
}

/// The plans of one rule.
#[derive(Default)]
pub(crate) struct PlanCache(Mutex<Vec<Kept>>);

struct Kept {
    from: Origin,
    /// Policies that the plan was made for, and how large the tables were, roughly.
    policies: u64,
    sizes: Vec<u8>,
    plan: Arc<Plan>,
}

impl PlanCache {
    /// A plan of a rule's program; from one origin, always of the same program. Made anew when policies came or went, or when tables are of
    /// another size than they were.
    pub(crate) fn plan(
        &self,
        state: &State,
        policy: &Arc<str>,
        program: &Program,
        from: Origin,
    ) -> Arc<Plan> {
        let sizes = |literal: &Literal| match literal {
            Literal::Table { policy: prefix, key, args, .. } => {
                let table = state.table(prefix.as_ref().unwrap_or(policy), key);
                let rows = table.map_or(0, |table| {
                    table.stored(args.len()).map(|relation| relation.len()).sum::<usize>()
                });
                // Two powers of two: 0, 1, 4, 16, 64, …
                (usize::BITS - rows.leading_zeros()).div_ceil(2) as u8
            }
            _ => 0,
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|kept| kept.from == from);
        if let Some(at) = at {
            let kept = &kept[at];
            let same = program.body.iter().map(sizes).eq(kept.sizes.iter().copied());
            if same && kept.policies == state.policies_version {
                return kept.plan.clone();
            }
        }
        let (plan, _) = plan(&Body {
            state,
            policy,
            program,
            start: match from {
                Origin::Nothing => Start::Nothing,
                Origin::Literal(literal) => Start::Given(literal),
                Origin::Head(columns) => Start::GivenHead(columns),
            },
            recursion: None,
        });
        let plan = Arc::new(plan);
        let new = Kept {
            from,
            policies: state.policies_version,
            sizes: program.body.iter().map(sizes).collect(),
            plan: plan.clone(),
        };
        match at {
            Some(at) => kept[at] = new,
            None => kept.push(new),
        }
        plan
    }
}
