//! Which names a policy may have.

use crate::lexer::{TokenKind, tokenize};

/// Whether `name` may name a policy: a relation that is prefixed with it must belong to it.
///
/// It is one identifier or several joined by colons, no keyword, and not `builtin`. A name with a
/// colon can be stored but not used, because a relation's policy ends at its first colon; the API
/// therefore asks [`is_referable_policy_name`].
pub fn is_valid_policy_name(name: &str) -> bool {
    name != "builtin" && name.split(':').all(is_identifier)
}

/// Whether `name` may name a policy to which rules can refer: as [`is_valid_policy_name`], and
/// without a colon.
pub fn is_referable_policy_name(name: &str) -> bool {
    name != "builtin" && is_identifier(name)
}

/// Whether `word` is one identifier, and nothing else.
fn is_identifier(word: &str) -> bool {
    tokenize(word).is_ok_and(|tokens| match tokens.as_slice() {
        [token, _end] => {
            token.kind == TokenKind::Identifier
                && token.span.end as usize == word.len()
                && token.span.start == 0
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_names() {
        for name in ["nova2", "a.b", "_a", "true", "plus", "a.", "NOVA", ".5a", "Not"] {
            assert!(is_valid_policy_name(name) && is_referable_policy_name(name), "{name}");
        }
        for name in [
            "", "1a", "a-b", "a b", " a", "a ", "a\n", "a(b)", "é", "not", "NOT", "!", "execute",
            "insert", "delete", "builtin", "a:", ":a", "a:not", ".", ".5", "x(1), y", "a//b",
        ] {
            assert!(!is_valid_policy_name(name) && !is_referable_policy_name(name), "{name:?}");
        }
        assert!(is_valid_policy_name("a:b") && !is_referable_policy_name("a:b"));
    }
}
