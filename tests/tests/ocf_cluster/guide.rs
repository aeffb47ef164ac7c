//! The commands of `docs/ha-deployment.md`, as an operator types them.

use std::fs;

use congress_tests::root;

/// One block of commands.
#[derive(Debug)]
pub(crate) struct Block {
    /// The heading above it.
    pub(crate) heading: String,
    /// Where it is to be typed: what stands in bold above it, for instance `every host`.
    pub(crate) place: String,
    pub(crate) commands: String,
}

/// All blocks marked `sh`, in order. What cannot be run in a test is marked otherwise.
pub(crate) fn blocks() -> Vec<Block> {
    let guide = fs::read_to_string(root().join("docs/ha-deployment.md")).unwrap();
    let (mut heading, mut place, mut blocks) = (String::new(), String::new(), Vec::new());
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix('#') {
            heading = title.trim_start_matches('#').trim().to_owned();
        } else if let Some((name, _)) =
            line.strip_prefix("**On ").and_then(|rest| rest.split_once(":**"))
        {
            name.clone_into(&mut place);
        } else if let Some(kind) = line.strip_prefix("```") {
            let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if kind == "sh" {
                let commands = inside.join("\n");
                blocks.push(Block { heading: heading.clone(), place: place.clone(), commands });
            }
        }
    }
    blocks
}

/// The blocks below a heading that begins so.
pub(crate) fn below(heading: &str) -> Vec<Block> {
    let found: Vec<Block> =
        blocks().into_iter().filter(|block| block.heading.starts_with(heading)).collect();
    assert!(!found.is_empty(), "the guide has no commands below {heading}");
    found
}
