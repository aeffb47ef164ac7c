//! The rules of the lease, apart from clocks, databases and tasks: a simulation can drive them.
//!
//! Whoever runs the machine asks it what to do ([`Machine::next`]), asks the database, and tells it
//! the answer ([`Machine::answered`]). Times are of one clock that never goes back and that counts
//! while the process stands still.
//!
//! A lease is good for its time to live from the moment at which it was *asked* for: the database
//! cannot have begun to count before. What the holder may do follows from two ages:
//!
//! * of its last renewal: it may do what must not be done twice (actions, pushes, creation,
//!   deletion) only as long as nobody else can have the lease, with a margin.
//! * of its last look, whether the database answered or not: it may publish and answer at all only
//!   if it has looked lately. So one that stood still learns first that it has been replaced, while
//!   one whose database is away goes on.

use std::time::Duration;

/// A moment: the time since some other one.
pub type Time = Duration;

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long a lease is good for.
    pub ttl: Duration,
    /// How often its holder renews it.
    pub renew: Duration,
    /// How often others try to take it, and its holder tries again what has failed.
    pub retry: Duration,
    /// How long before its end a holder behaves as if it had ended.
    pub margin: Duration,
    /// How long the database may take to answer: less than half of `ttl`, so that one that never
    /// does leaves a holder unsure, but not unchecked.
    pub answer: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { ttl: ms(3000), renew: ms(500), retry: ms(250), margin: ms(500), answer: ms(1000) }
    }
}

/// Who has the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The node's id.
    pub node_id: String,
    /// Its process.
    pub instance: String,
    /// The term.
    pub term: u64,
}

/// What the database is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// For the lease, if nobody has it.
    Acquire,
    /// To renew it in this term.
    Renew {
        /// The term.
        term: u64,
    },
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the database, and tell the machine its answer.
    Ask(Ask),
    /// Nothing before this time.
    Wait(Time),
    /// Nothing any more.
    End,
}

/// What the database says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The lease is ours, in this new term. Who asks again, because an answer was lost, gets
    /// another one.
    Taken {
        /// The term.
        term: u64,
    },
    /// Somebody else has it.
    Held(Holder),
    /// It is renewed.
    Renewed,
    /// It is not ours any more.
    Lost(Holder),
    /// Nothing that could be understood, or nothing in time.
    Failed,
}

/// What has come to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This process is the active one, in this term.
    Began {
        /// The term.
        term: u64,
    },
    /// Somebody else is. It must stop what it runs, and end.
    Ended {
        /// The term in which it was the active one.
        term: u64,
        /// The higher one.
        by: u64,
    },
}

/// What a process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for the lease.
    Standby,
    /// It may do everything.
    Sure,
    /// It may publish and answer, and do nothing that must not be done twice.
    Unsure,
    /// It has stood still: it must look before it does anything.
    Unchecked,
    /// It has been replaced.
    Replaced,
}

/// The lease as one process sees it.
#[derive(Clone, Debug)]
pub struct Machine {
    times: Times,
    state: State,
    /// When to ask next.
    due: Time,
    /// When the question under way was asked.
    asked: Option<Time>,
}

#[derive(Clone, Debug)]
enum State {
    Standby {
        holder: Option<Holder>,
    },
    Holding {
        term: u64,
        /// When the last renewal that came about was asked for.
        renewed: Time,
        /// When the last one that was answered, or failed, was asked for.
        looked: Time,
    },
    Replaced,
}

impl Machine {
    /// For a process that has no lease.
    pub fn new(times: Times, now: Time) -> Self {
        Self { times, state: State::Standby { holder: None }, due: now, asked: None }
    }

    /// What to do now. A question counts as asked from this moment; there is one at a time.
    pub fn next(&mut self, now: Time) -> Next {
        let ask = match self.state {
            State::Standby { .. } => Ask::Acquire,
            State::Holding { term, .. } => Ask::Renew { term },
            State::Replaced => return Next::End,
        };
        if let Some(asked) = self.asked {
            return Next::Wait(asked + self.times.answer);
        }
        if now < self.due {
            return Next::Wait(self.due);
        }
        self.asked = Some(now);
        Next::Ask(ask)
    }

    /// The question under way is answered.
    pub fn answered(&mut self, answer: Answer) -> Option<Verdict> {
        let asked = self.asked.take()?;
        let pause = match answer {
            Answer::Taken { .. } | Answer::Renewed => self.times.renew,
            _ => self.times.retry,
        };
        self.due = asked + pause;
        match (&mut self.state, answer) {
            (State::Standby { .. }, Answer::Taken { term }) => {
                self.state = State::Holding { term, renewed: asked, looked: asked };
                Some(Verdict::Began { term })
            }
            (State::Standby { holder }, Answer::Held(by)) => {
                *holder = Some(by);
                None
            }
            (State::Holding { renewed, looked, .. }, Answer::Renewed) => {
                (*renewed, *looked) = (asked, asked);
                None
            }
            (State::Holding { term, .. }, Answer::Lost(by)) => {
                let (term, by) = (*term, by.term);
                self.state = State::Replaced;
                Some(Verdict::Ended { term, by })
            }
            (State::Holding { looked, .. }, _) => {
                *looked = asked;
                None
            }
            _ => None,
        }
    }

    /// A term was heard of: that of whoever is the active one.
    pub fn heard(&mut self, by: u64) -> Option<Verdict> {
        match self.state {
            State::Holding { term, .. } if by > term => {
                self.state = State::Replaced;
                Some(Verdict::Ended { term, by })
            }
            _ => None,
        }
    }

    /// What this process may do now.
    pub fn standing(&self, now: Time) -> Standing {
        let Times { ttl, margin, .. } = self.times;
        match self.state {
            State::Standby { .. } => Standing::Standby,
            State::Replaced => Standing::Replaced,
            State::Holding { renewed, looked, .. } => {
                if now < renewed + ttl.saturating_sub(margin) {
                    Standing::Sure
                } else if now < looked + ttl {
                    Standing::Unsure
                } else {
                    Standing::Unchecked
                }
            }
        }
    }

    /// The term in which this process is the active one.
    pub fn term(&self) -> Option<u64> {
        match self.state {
            State::Holding { term, .. } => Some(term),
            _ => None,
        }
    }

    /// Whom a standby waits for, as far as it knows.
    pub fn holder(&self) -> Option<&Holder> {
        match &self.state {
            State::Standby { holder } => holder.as_ref(),
            _ => None,
        }
    }

    /// When the last renewal that came about was asked for.
    pub fn renewed(&self) -> Option<Time> {
        match self.state {
            State::Holding { renewed, .. } => Some(renewed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Time {
        Duration::from_millis(ms)
    }

    fn other(term: u64) -> Holder {
        Holder { node_id: "b".to_owned(), instance: "other".to_owned(), term }
    }

    /// One that has taken the lease at time 0.
    fn holding(term: u64) -> Machine {
        let mut machine = Machine::new(Times::default(), ms(0));
        assert_eq!(machine.next(ms(0)), Next::Ask(Ask::Acquire));
        assert_eq!(machine.answered(Answer::Taken { term }), Some(Verdict::Began { term }));
        machine
    }

    #[test]
    fn a_standby_tries_until_the_lease_is_free() {
        let mut machine = Machine::new(Times::default(), ms(0));
        assert_eq!(machine.next(ms(0)), Next::Ask(Ask::Acquire));
        assert_eq!(machine.next(ms(10)), Next::Wait(ms(1000)), "one question at a time");
        assert_eq!(machine.answered(Answer::Held(other(4))), None);
        assert_eq!(machine.holder(), Some(&other(4)));
        assert_eq!(machine.next(ms(10)), Next::Wait(ms(250)));
        assert_eq!(machine.standing(ms(10)), Standing::Standby);
        assert_eq!(machine.next(ms(250)), Next::Ask(Ask::Acquire));
        assert_eq!(machine.answered(Answer::Failed), None);
        assert_eq!(machine.next(ms(500)), Next::Ask(Ask::Acquire));
        assert_eq!(machine.answered(Answer::Taken { term: 5 }), Some(Verdict::Began { term: 5 }));
        assert_eq!(machine.next(ms(600)), Next::Wait(ms(1000)));
    }

    #[test]
    fn a_lease_counts_from_the_question_not_from_the_answer() {
        let mut machine = Machine::new(Times::default(), ms(0));
        machine.next(ms(0));
        // The answer took until 900.
        machine.answered(Answer::Taken { term: 1 });
        assert_eq!(machine.standing(ms(2499)), Standing::Sure);
        assert_eq!(machine.standing(ms(2500)), Standing::Unsure);
    }

    #[test]
    fn a_database_that_is_away_stops_what_must_not_be_done_twice_and_nothing_else() {
        let mut machine = holding(1);
        for at in (500..60_000).step_by(250) {
            assert_eq!(machine.next(ms(at)), Next::Ask(Ask::Renew { term: 1 }), "{at}");
            assert_eq!(machine.answered(Answer::Failed), None);
            let expected = if at < 2500 { Standing::Sure } else { Standing::Unsure };
            assert_eq!(machine.standing(ms(at)), expected, "{at}");
        }
        machine.next(ms(60_000));
        machine.answered(Answer::Renewed);
        assert_eq!(machine.standing(ms(60_100)), Standing::Sure);
    }

    #[test]
    fn one_that_stood_still_looks_first() {
        let mut machine = holding(1);
        assert_eq!(machine.standing(ms(10_000)), Standing::Unchecked);
        machine.next(ms(10_000));
        let ended = Verdict::Ended { term: 1, by: 2 };
        assert_eq!(machine.answered(Answer::Lost(other(2))), Some(ended));
        assert_eq!(machine.standing(ms(10_000)), Standing::Replaced);
        assert_eq!(machine.next(ms(20_000)), Next::End);
    }

    #[test]
    fn a_question_that_hung_while_it_stood_still_counts_from_when_it_was_asked() {
        let mut machine = holding(1);
        assert_eq!(machine.next(ms(500)), Next::Ask(Ask::Renew { term: 1 }));
        machine.answered(Answer::Failed);
        assert_eq!(machine.standing(ms(9000)), Standing::Unchecked);
    }

    #[test]
    fn a_higher_term_ends_it_wherever_it_is_heard_of() {
        let mut machine = holding(3);
        assert_eq!(machine.heard(3), None);
        assert_eq!(machine.heard(2), None);
        assert_eq!(machine.heard(4), Some(Verdict::Ended { term: 3, by: 4 }));
        assert_eq!(machine.heard(5), None, "once");
        let mut standby = Machine::new(Times::default(), ms(0));
        assert_eq!(standby.heard(9), None);
    }
}
