//! All rules together.

use std::collections::{HashMap, HashSet};

use super::check::Check;
use super::parse;
use super::{Question, Target};
use crate::auth::caller::Caller;

/// What holds unless files say otherwise: everything is for administrators.
pub(in crate::auth) const BUILT_IN: &[(&str, &str)] = &[
    ("context_is_admin", "role:admin"),
    ("admin_only", "rule:context_is_admin"),
    ("regular_user", ""),
    ("default", "rule:admin_only"),
];

/// How many rules may refer to each other in a chain.
const CHAIN: usize = 64;

/// The rules in force.
#[derive(Debug)]
pub(crate) struct Rules {
    checks: HashMap<String, Check>,
    /// The names that files define.
    defined: HashSet<String>,
    /// The rule for names that have none.
    default: String,
}

/// How a request fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Whether it may go on.
    pub(crate) allowed: bool,
    /// The rule that decided.
    pub(crate) rule: String,
}

impl Rules {
    /// The built-in rules and those of files. Fails if rules refer to each other in a circle, or too
    /// deeply.
    pub(super) fn new(
        default: &str,
        from_files: impl IntoIterator<Item = (String, Check)>,
    ) -> Result<Self, String> {
        let built_in = BUILT_IN.iter().map(|(name, text)| {
            let check = parse::text(text)?;
            Ok(((*name).to_owned(), check))
        });
        let mut checks = built_in.collect::<Result<HashMap<_, _>, String>>()?;
        let mut defined = HashSet::new();
        for (name, check) in from_files {
            defined.insert(name.clone());
            checks.insert(name, check);
        }
        let rules = Self { checks, defined, default: default.to_owned() };
        rules.refer_without_cycles()?;
        Ok(rules)
    }

    /// The check of a name, or the default one.
    pub(super) fn find(&self, name: &str) -> Option<&Check> {
        self.checks.get(name).or_else(|| self.checks.get(&self.default))
    }

    /// Whether files define a name.
    fn defines(&self, name: &str) -> bool {
        self.defined.contains(name)
    }

    /// Whether a caller may do what goes by these names, the most specific first.
    pub(crate) fn decide<'a>(
        &self,
        caller: &Caller,
        mut names: impl Iterator<Item = &'a str>,
    ) -> Decision {
        let name = names.find(|name| self.defines(name)).unwrap_or(&self.default);
        Decision { allowed: self.allow(caller, name), rule: name.to_owned() }
    }

    /// Whether a caller passes the rule of this name.
    pub(crate) fn allow(&self, caller: &Caller, name: &str) -> bool {
        let target = || Target {
            project_id: caller.project_id.as_deref(),
            user_id: Some(caller.user_id.as_str()),
        };
        let passes = |name: &str, is_admin: bool| {
            let question = Question { caller, is_admin, target: target() };
            self.find(name).is_some_and(|check| check.passes(self, &question))
        };
        let is_admin = passes("context_is_admin", false);
        passes(name, is_admin)
    }

    /// Whether files define a name, and the caller passes it; `otherwise` decides if they do not.
    pub(crate) fn allow_or(&self, caller: &Caller, name: &str, otherwise: &str) -> bool {
        self.allow(caller, if self.defines(name) { name } else { otherwise })
    }

    fn refer_without_cycles(&self) -> Result<(), String> {
        let mut known = HashMap::new();
        self.checks
            .keys()
            .try_for_each(|name| self.depth(name, &mut Vec::new(), &mut known).map(drop))
    }

    /// How many rules follow each other from this one.
    fn depth<'a>(
        &'a self,
        name: &'a str,
        path: &mut Vec<&'a str>,
        known: &mut HashMap<&'a str, usize>,
    ) -> Result<usize, String> {
        if let Some(depth) = known.get(name) {
            return Ok(*depth);
        }
        if let Some(begin) = path.iter().position(|passed| *passed == name) {
            let circle = path[begin..].join(" → ");
            return Err(format!("rules refer to each other in a circle: {circle} → {name}"));
        }
        let Some(check) = self.checks.get(name) else {
            return match name == self.default {
                true => Ok(1),
                false => self.depth(&self.default, path, known),
            };
        };
        path.push(name);
        let mut references = Vec::new();
        check.references(&mut references);
        let mut depth = 0;
        for reference in references {
            if path.len() < CHAIN {
                depth = depth.max(self.depth(reference, path, known)?);
            } else {
                depth = CHAIN;
            }
            if depth >= CHAIN {
                return Err(format!(
                    "rule {name} refers to rules that refer to rules, {CHAIN} deep"
                ));
            }
        }
        path.pop();
        known.insert(name, depth + 1);
        Ok(depth + 1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(texts: &[(&str, &str)]) -> Result<Rules, String> {
        let checks = texts
            .iter()
            .map(|(name, text)| ((*name).to_owned(), parse::rule(&json!(text)).unwrap()));
        Rules::new("default", checks)
    }

    fn caller(roles: &[&str]) -> Caller {
        Caller::new(
            json!({
                "user_id": "u1", "project_id": "p1", "domain": null, "is_admin_project": true,
                "token": {"groups": [{"id": "g1"}, {"id": "g2"}], "level": 3},
            }),
            roles.iter().map(|role| (*role).to_owned()).collect(),
        )
    }

    fn allowed(texts: &[(&str, &str)], roles: &[&str], names: &[&str]) -> bool {
        rules(texts).unwrap().decide(&caller(roles), names.iter().copied()).allowed
    }

    /// Whether a caller with role `member` passes a check.
    fn passes(text: &str) -> bool {
        rules(&[("it", text)]).unwrap().allow(&caller(&["Member"]), "it")
    }

    #[test]
    fn only_administrators_unless_said_otherwise() {
        let names = ["get_policies", "get_v1"];
        assert!(allowed(&[], &["Admin"], &names));
        assert!(!allowed(&[], &["member"], &names));
        assert!(!allowed(&[], &[], &names));
        // An administrator may be somebody else.
        let files = [("context_is_admin", "role:boss")];
        assert!(allowed(&files, &["boss"], &names));
        assert!(!allowed(&files, &["admin"], &names));
    }

    #[test]
    fn the_most_specific_name_decides() {
        let names = ["get_policies", "get_v1"];
        let files = [("get_v1", "role:reader"), ("default", "@")];
        assert!(allowed(&files, &["reader"], &names));
        assert!(!allowed(&files, &["admin"], &names));
        let files = [("get_v1", "!"), ("get_policies", "")];
        assert!(allowed(&files, &[], &names));
        assert!(allowed(&[("default", "rule:regular_user")], &[], &names));
        let decision = rules(&files).unwrap().decide(&caller(&[]), ["get_x", "get_v1"].into_iter());
        assert_eq!(decision, Decision { allowed: false, rule: "get_v1".to_owned() });
    }

    #[test]
    fn checks() {
        for text in [
            "",
            "@",
            "role:MEMBER",
            "not role:admin",
            "role:admin or role:member",
            "user_id:%(user_id)s",
            "project_id:p1",
            "'p1':%(project_id)s",
            "is_admin:False",
            "domain:None",
            "is_admin_project:True",
            "token.level:3",
            "token.groups.id:g2",
            "rule:regular_user",
        ] {
            assert!(passes(text), "{text}");
        }
        for text in [
            "!",
            "role:admin",
            "role:member and role:admin",
            "project_id:p2",
            "user_id:%(owner)s",
            "'p2':%(project_id)s",
            "is_admin:True",
            "colour:red",
            "token.groups.id:g3",
            "token.groups.name:g2",
            "role:%(role)s",
            // There is no such rule, so the default one decides.
            "rule:nowhere",
        ] {
            assert!(!passes(text), "{text}");
        }
    }

    #[test]
    fn circles_are_refused() {
        let circle = rules(&[("a", "rule:b"), ("b", "not (rule:c or rule:a)"), ("c", "")]);
        assert!(circle.unwrap_err().contains("circle"));
        assert!(rules(&[("default", "rule:nowhere")]).unwrap_err().contains("circle"));
        assert!(rules(&[("admin_only", "rule:admin_only")]).is_err());
    }

    #[test]
    fn chains_are_bounded() {
        let chain = |length: usize| {
            let links = (0..length).map(|n| (format!("r{n}"), format!("rule:r{}", n + 1)));
            let mut texts: Vec<_> = links.collect();
            texts.push((format!("r{length}"), "@".to_owned()));
            let checks = texts.into_iter().map(|(n, t)| (n, parse::text(&t).unwrap()));
            Rules::new("default", checks)
        };
        assert!(chain(40).is_ok());
        assert!(chain(10_000).unwrap_err().contains("64 deep"));
    }
}
