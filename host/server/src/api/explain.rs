//! Why a row is there, or why it is not. An extension.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use congress_policy::ast::Constant;
use congress_policy::{
    Absence, Attempt, Derivation, Detail, Explanation, Failure as Stop, NearMiss, Obstacle, Reason,
    Step,
};
use serde_json::{Map, Value, json};

use super::App;
use super::action::parameter;
use super::answer::Element;
use super::path::Path;
use crate::engine::{Cell, ExplainRequest, row_of};
use crate::failure::{Answer, Failure, Status};

/// The most that is told, in bytes of text. The object repeats it, in other words.
const MAX_TEXT: usize = 4 << 20;

pub(super) async fn explain(
    State(app): State<App>,
    Path((policy, table)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Answer<Element<Value>> {
    let request = request(query.as_deref())?;
    app.engine.explain(&policy, &table, request, told).await.map(Element)
}

fn request(query: Option<&str>) -> Answer<ExplainRequest> {
    let number = |name: &str, default: usize, most: usize| match parameter(query, name).next() {
        None => Ok(default),
        Some(text) => text.parse().ok().filter(|n| *n <= most).ok_or_else(|| {
            bad(format_args!("{name} must be a number of at most {most}, not '{text}'"))
        }),
    };
    let row = parameter(query, "row").next().map(|text| row_of(&text)).transpose();
    Ok(ExplainRequest {
        row: row.map_err(|error| bad(format_args!("row: {error}")))?,
        detail: Detail {
            steps: number("steps", 1_000, 10_000)?.max(1),
            depth: number("depth", 50, 1_000)?,
            near_misses: number("near_misses", 3, 100)?,
        },
    })
}

fn bad(text: impl Display) -> Failure {
    Failure::plain(Status::BadRequest, text)
}

/// A text that refuses to grow without end: cells may be long, and be told many times.
struct Bounded(String);

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > MAX_TEXT {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

fn told(explanation: &Explanation) -> Answer<Value> {
    let mut text = Bounded(String::new());
    write!(text, "{explanation}").map_err(|_| {
        bad("the explanation is too long; ask for less with depth, steps or near_misses")
    })?;
    let mut object = match explanation {
        Explanation::Holds(derivation) => holds(derivation),
        Explanation::Absent(absence) => absent(absence),
    };
    object.insert("text".to_owned(), text.0.into());
    Ok(object.into())
}

fn holds(derivation: &Derivation) -> Map<String, Value> {
    let steps: Vec<Value> = derivation.steps().iter().map(step).collect();
    Map::from_iter([("holds".to_owned(), true.into()), ("steps".to_owned(), steps.into())])
}

fn step(step: &Step) -> Value {
    let reason = match &step.reason {
        Reason::Fact => "fact",
        Reason::Rule { .. } => "rule",
        Reason::Computed => "computed",
        Reason::NoRow => "no_row",
        Reason::Truth => "truth",
        Reason::Cut => "cut",
    };
    let mut object = json!({
        "literal": step.literal.to_string(),
        "policy": *step.policy,
        "reason": reason,
        "premises": step.premises,
    });
    if let Reason::Rule { rule, number } = &step.reason {
        object["rule"] = rule.to_string().into();
        object["number"] = (*number).into();
    }
    object
}

fn absent(absence: &Absence) -> Map<String, Value> {
    let rules: Vec<Value> = absence.rules.iter().map(attempt).collect();
    Map::from_iter([
        ("holds".to_owned(), false.into()),
        ("literal".to_owned(), absence.literal.to_string().into()),
        ("policy".to_owned(), (*absence.policy).into()),
        ("facts".to_owned(), absence.facts.into()),
        ("rules".to_owned(), rules.into()),
    ])
}

fn attempt(attempt: &Attempt) -> Value {
    let mut object = json!({ "rule": attempt.rule.to_string(), "number": attempt.number });
    let failure = match &attempt.failure {
        Stop::Width => "width",
        Stop::Head { column, given, asked } => {
            object["column"] = (*column).into();
            object["given"] = given.to_string().into();
            object["asked"] = asked.to_string().into();
            "head"
        }
        Stop::Body { literal, near_misses } => {
            let literal = attempt.rule.body.get(*literal).map(ToString::to_string);
            object["literal"] = literal.into();
            object["near_misses"] = near_misses.iter().map(near_miss).collect();
            "body"
        }
        Stop::NoResult { column } => {
            object["column"] = (*column).into();
            "no_result"
        }
        Stop::Unequal => "unequal",
    };
    object["failure"] = failure.into();
    object
}

fn near_miss(miss: &NearMiss) -> Value {
    let obstacle = match &miss.obstacle {
        Obstacle::NoRow => "no_row",
        Obstacle::Holds => "holds",
        Obstacle::False => "false",
        Obstacle::Gives(_) => "gives",
        Obstacle::Error(_) => "error",
        Obstacle::Unresolved => "unresolved",
    };
    let binding = |(name, value): &(Arc<str>, Constant)| {
        (name.to_string(), serde_json::to_value(Cell(value.clone())).unwrap_or_default())
    };
    let bindings: Map<String, Value> = miss.bindings.iter().map(binding).collect();
    json!({
        "bindings": bindings,
        "literal": miss.literal.to_string(),
        "obstacle": obstacle,
        "text": miss.obstacle.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let of = |query| request(Some(query));
        let all = of("row=%5B%22a%22%2Cnull%5D&depth=7&steps=0").unwrap();
        assert_eq!((all.row.unwrap().len(), all.detail.depth, all.detail.steps), (2, 7, 1));
        assert!(of("").unwrap().row.is_none());
        for bad in ["row=a", "row=%7B%7D", "depth=-1", "depth=1001", "near_misses=x"] {
            assert_eq!(of(bad).unwrap_err().code, 400, "{bad}");
        }
    }
}
