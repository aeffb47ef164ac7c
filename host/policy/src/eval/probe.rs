//! A relation that has no index for what a batch looks for: its rows are looked at once, and each
//! finds the bindings that it fits.

use super::plan::Match;
use super::ready::Reads;
use super::run::{BATCH, Evaluation, Level};
use super::steps::{Access, Cursor};
use crate::store::ids::Ids;
use crate::store::index::NONE;
use crate::store::word::{Mixer, Word};

/// The bindings of a batch by the key that they look for.
pub(super) struct Probe {
    heads: Ids,
    next: Vec<u32>,
    pub(super) keys: Vec<Word>,
    /// Bindings that need no further match.
    done: Vec<bool>,
}

impl<'s> Evaluation<'s> {
    /// Goes through the rows of the relations that are looked at once. False if the batch is full.
    pub(super) fn probe(
        &self,
        step: &Match,
        reads: &Reads<'s>,
        stride: usize,
        level: &mut Level,
        out: &mut Vec<Word>,
    ) -> bool {
        let Reads::Table { stored, .. } = reads else {
            return true;
        };
        let mixer = self.state.dictionary.mixer();
        while let Cursor::Probe { relation: at, mut row, mut binding } = level.cursor {
            let (Some(relation), Access::Probe(probe)) = (stored[at], &mut level.access[at]) else {
                level.cursor = match at {
                    0 => Cursor::Probe { relation: 1, row: 0, binding: NONE },
                    _ => Cursor::Binding,
                };
                continue;
            };
            while row < relation.end() {
                for found in relation.block(row) {
                    if let (Some(found), NONE) = (found, binding) {
                        let words = step.columns.iter().map(|&column| match step.by_value {
                            true => self.state.dictionary.canonical(found[column as usize]),
                            false => found[column as usize],
                        });
                        binding = probe.first(words, mixer);
                    }
                    while let (Some(found), true) = (found, binding != NONE) {
                        let this = binding as usize;
                        binding = probe.next[this];
                        if probe.done[this] {
                            continue;
                        }
                        let words = &level.bindings[this * stride..(this + 1) * stride];
                        if self.take(step, found, words, out) {
                            probe.done[this] = step.exists_only;
                            if out.len() >= BATCH * stride && binding != NONE {
                                level.cursor = Cursor::Probe { relation: at, row, binding };
                                return false;
                            }
                        }
                    }
                    row += 1;
                    if out.len() >= BATCH * stride {
                        level.cursor = Cursor::Probe { relation: at, row, binding: NONE };
                        return false;
                    }
                }
            }
            level.cursor = match at {
                0 => Cursor::Probe { relation: 1, row: 0, binding: NONE },
                _ => Cursor::Binding,
            };
        }
        true
    }

    /// Whether a binding has got the one match that it needs already.
    pub(super) fn was_probed(&self, level: &Level) -> bool {
        level.access.iter().any(|access| match access {
            Access::Probe(probe) => probe.done[level.at],
            _ => false,
        })
    }
}

impl Probe {
    pub(super) fn new(bindings: usize) -> Self {
        Self {
            heads: Ids::default(),
            next: Vec::with_capacity(bindings),
            keys: Vec::new(),
            done: vec![false; bindings],
        }
    }

    /// Files the next binding, whose key of `width` words starts at `start`.
    pub(super) fn file(&mut self, start: usize, width: usize, mut mixer: Mixer) {
        let id = self.next.len() as u32;
        let key = &self.keys[start..start + width];
        if key.contains(&Word::NAN) {
            self.next.push(NONE);
            return;
        }
        key.iter().for_each(|word| mixer.add(*word));
        let hash = mixer.finish();
        let keys = &self.keys;
        let same = |other: u32| &keys[other as usize * width..(other as usize + 1) * width] == key;
        match self.heads.find_or_insert(hash, id, same) {
            Some(head) => {
                self.heads.replace(hash, head, id);
                self.next.push(head);
            }
            None => self.next.push(NONE),
        }
    }

    /// The last binding that looks for these words, or [`NONE`].
    #[inline]
    fn first(&self, words: impl ExactSizeIterator<Item = Word> + Clone, mut mixer: Mixer) -> u32 {
        let width = words.len();
        if self.next.len() == 1 {
            // One binding: comparing is all there is to do.
            let same = words.zip(&self.keys).all(|(a, b)| a.joins(*b));
            return if same { 0 } else { NONE };
        }
        words.clone().for_each(|word| mixer.add(word));
        let same = |id: u32| {
            let key = &self.keys[id as usize * width..(id as usize + 1) * width];
            words.clone().zip(key).all(|(a, b)| a == *b)
        };
        self.heads.find(mixer.finish(), same).unwrap_or(NONE)
    }
}
