//! `congress policy apply`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::changes::Failed;
use super::document::Rule;
use super::plan::{Change, Plan, RuleChange, plan};
use super::server::CurrentRule;
use super::{changes, folder, server};
use crate::http::Server;
use crate::output::{self, Answer, Format, View, clean, clean_lines, styled};

/// How `apply --dry-run` ends if there is something to do.
const TO_DO: u8 = 3;

/// What `apply` takes.
#[derive(Args)]
pub(crate) struct Apply {
    /// The folder. A policy of one of its .yaml and .yml files gets that file's rules and no others; what a
    /// file does not say of description and abbreviation stays.
    folder: PathBuf,
    /// Only shows what would be done; ends with the status 3 if that is something.
    #[arg(long)]
    dry_run: bool,
    /// Deletes policies that no file has.
    #[arg(long)]
    prune: bool,
}

impl Apply {
    pub(crate) async fn run(self, server: &Server, view: &View) -> anyhow::Result<Answer> {
        let files = folder::read(&self.folder)?;
        if files.is_empty() && self.prune {
            bail!(
                "{} has no policies; --prune would delete all that there are",
                self.folder.display()
            );
        }
        let plan = plan(&files, &server::policies(server).await?, self.prune)?;
        show(&plan, view.format)?;
        if plan.changes.is_empty() {
            return Ok(Answer::Nothing);
        }
        if self.dry_run {
            return Ok(Answer::Printed(ExitCode::from(TO_DO)));
        }
        let all = plan.changes.len();
        let failed = changes::make(server, plan.changes).await;
        for Failed { policy, error, .. } in &failed {
            output::note(&format!("congress: policy {policy}: {error:#}"));
        }
        output::note(&counted(all, &failed));
        let code = if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        Ok(Answer::Printed(code))
    }
}

/// How many of all changes were made.
fn counted(all: usize, failed: &[Failed]) -> String {
    let mut text = format!("{} of {all} policies changed", all - failed.len());
    let begun: Vec<_> = failed.iter().filter(|f| f.begun).map(|f| f.policy.as_str()).collect();
    if !begun.is_empty() {
        let _ = write!(text, "; in part: {}", begun.join(", "));
    }
    text
}

fn show(plan: &Plan, format: Format) -> anyhow::Result<()> {
    if format != Format::Table {
        let value = as_value(plan);
        return match format {
            Format::Json | Format::Yaml => output::write(&output::structured(&value, format)?),
            _ => {
                let lines: Vec<Vec<String>> = plan
                    .changes
                    .iter()
                    .map(|change| vec![change.name().to_owned(), word(change).to_owned()])
                    .collect();
                let heading = ["policy", "change"].map(str::to_owned);
                output::write(&output::lay_out(&heading, &lines, format))
            }
        };
    }
    output::write(&as_text(plan))
}

fn word(change: &Change) -> &'static str {
    match change {
        Change::Create(_) => "create",
        Change::Update { .. } => "update",
        Change::Delete { .. } => "delete",
    }
}

fn as_text(plan: &Plan) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let title = format!("policy {}: {}", clean(change.name()), word(change));
        let _ = writeln!(text, "{}", styled(&title, "1"));
        match change {
            Change::Create(policy) => {
                for rule in policy.rules() {
                    text += &added(rule);
                }
            }
            Change::Delete { rules, .. } => {
                for rule in rules {
                    text += &removed(rule);
                }
            }
            Change::Update { fields, rules, .. } => {
                for (field, from, to) in fields {
                    text += &marked('-', &format!("{field}: {from}"));
                    text += &marked('+', &format!("{field}: {to}"));
                }
                for change in rules {
                    match change {
                        RuleChange::Insert(rule) => text += &added(rule),
                        RuleChange::Delete(rule) => text += &removed(rule),
                        RuleChange::Update { from, to } => {
                            text += &removed(from);
                            text += &added(to);
                        }
                    }
                }
            }
        }
    }
    if plan.changes.is_empty() {
        text.push_str("nothing to do\n");
    }
    if !plan.kept.is_empty() {
        let names: Vec<_> = plan.kept.iter().map(|name| clean(name)).collect();
        let _ = writeln!(text, "without a file, and kept (--prune deletes): {}", names.join(", "));
    }
    text
}

fn added(rule: &Rule) -> String {
    marked('+', &described(rule))
}

fn removed(rule: &CurrentRule) -> String {
    marked('-', &described(&rule.rule))
}

/// A rule with its name and comment, as they differ perhaps.
fn described(rule: &Rule) -> String {
    let mut text = String::new();
    if let Some(name) = &rule.name {
        let _ = write!(text, "[{name}] ");
    }
    text += rule.rule.trim();
    if let Some(comment) = rule.comment.as_ref().filter(|comment| !comment.is_empty()) {
        let _ = write!(text, "\n# {comment}");
    }
    text
}

/// Each line with a mark before it.
fn marked(mark: char, text: &str) -> String {
    let style = if mark == '+' { "32" } else { "31" };
    let line = |line: &str| styled(&format!("  {mark} {line}"), style) + "\n";
    clean_lines(text).lines().map(line).collect()
}

fn as_value(plan: &Plan) -> Value {
    let change = |change: &Change| {
        let (mut fields, mut added, mut removed) = (serde_json::Map::new(), Vec::new(), Vec::new());
        match change {
            Change::Create(policy) => added.extend(policy.rules().iter().map(|rule| json!(rule))),
            Change::Delete { rules, .. } => {
                removed.extend(rules.iter().map(|rule| json!(rule.rule)));
            }
            Change::Update { fields: changed, rules, .. } => {
                let both = |from: &String, to: &String| json!({"from": from, "to": to});
                fields.extend(changed.iter().map(|(name, f, t)| ((*name).to_owned(), both(f, t))));
                for change in rules {
                    match change {
                        RuleChange::Insert(rule) => added.push(json!(rule)),
                        RuleChange::Delete(rule) => removed.push(json!(rule.rule)),
                        RuleChange::Update { from, to } => {
                            removed.push(json!(from.rule));
                            added.push(json!(to));
                        }
                    }
                }
            }
        }
        json!({
            "policy": change.name(), "change": word(change), "fields": fields,
            "added": added, "removed": removed,
        })
    };
    let changes: Vec<_> = plan.changes.iter().map(change).collect();
    json!({ "changes": changes, "kept": plan.kept })
}
