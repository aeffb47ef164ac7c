//! Explanations as text.

use std::fmt::{self, Display, Formatter};

use super::{Absence, Attempt, Derivation, Explanation, Failure, NearMiss, Obstacle, Reason, Step};

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds(derivation) => derivation.fmt(f),
            Self::Absent(absence) => absence.fmt(f),
        }
    }
}

impl Display for Derivation {
    /// A line for each literal, indented by two blanks for each rule above it. What a row follows
    /// from is written once.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut written = vec![false; self.steps.len()];
        let mut todo = vec![(0, 0)];
        while let Some((number, depth)) = todo.pop() {
            let Some(step) = self.steps.get(number) else {
                continue;
            };
            write!(f, "{:width$}{}  ", "", step.literal, width = 2 * depth)?;
            if std::mem::replace(&mut written[number], true) && !step.premises.is_empty() {
                writeln!(f, "as above")?;
                continue;
            }
            writeln!(f, "{step}")?;
            todo.extend(step.premises.iter().rev().map(|premise| (*premise, depth + 1)));
        }
        Ok(())
    }
}

impl Display for Step {
    /// Why the literal holds.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Fact => write!(f, "is a fact of {}", self.policy),
            Reason::Rule { rule, number } => {
                write!(f, "by rule {number} of {}: {rule}", self.policy)
            }
            Reason::Computed => f.write_str("is computed"),
            Reason::NoRow => write!(f, "has no row in {}", self.policy),
            Reason::Truth => f.write_str("always holds"),
            Reason::Cut => f.write_str("is not followed further"),
        }
    }
}

impl Display for Absence {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(obstacle) = &self.computed {
            return writeln!(f, "{} fails, for {obstacle}", self.literal);
        }
        writeln!(f, "{} does not hold in {}", self.literal, self.policy)?;
        match (self.facts, self.rules.is_empty()) {
            (0, true) => writeln!(f, "  the table has no rule and no fact")?,
            (0, false) => {}
            (1, _) => writeln!(f, "  the one fact of the table is another")?,
            (facts, _) => writeln!(f, "  none of the {facts} facts of the table is it")?,
        }
        self.rules.iter().try_for_each(|attempt| attempt.fmt(f))
    }
}

impl Display for Attempt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "  rule {}: {}", self.number, self.rule)?;
        match &self.failure {
            Failure::Width => writeln!(f, "    gives rows of another width"),
            Failure::Head { column, given, asked } => {
                writeln!(f, "    does not match: argument {} is {given}, not {asked}", column + 1)
            }
            Failure::NoResult { column } => {
                writeln!(f, "    has solutions, but argument {} no value of them", column + 1)
            }
            Failure::Unequal => writeln!(f, "    gives a value that is not equal to itself"),
            Failure::Body { literal, near_misses } => {
                match self.rule.body.get(*literal) {
                    Some(literal) => writeln!(f, "    fails at {literal}")?,
                    None => writeln!(f, "    fails")?,
                }
                near_misses.iter().try_for_each(|miss| miss.fmt(f))
            }
        }
    }
}

impl Display for NearMiss {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("      ")?;
        for (at, (name, value)) in self.bindings.iter().enumerate() {
            let before = if at == 0 { "for " } else { ", " };
            write!(f, "{before}{name} = {value}")?;
        }
        let colon = if self.bindings.is_empty() { "" } else { ": " };
        writeln!(f, "{colon}{} fails, for {}", self.literal, self.obstacle)
    }
}

impl Display for Obstacle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRow => f.write_str("there is no such row"),
            Self::Holds => f.write_str("it holds"),
            Self::False => f.write_str("it is false"),
            Self::Gives(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "it gives {}", values.join(", "))
            }
            Self::Error(error) => write!(f, "it has no answer: {error}"),
            Self::Unresolved => f.write_str("no schema has resolved its columns"),
        }
    }
}
