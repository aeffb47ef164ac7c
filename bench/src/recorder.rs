//! What a run measured: steps with samples and answer counts.

use std::time::Instant;

use anyhow::{Result, bail};

/// What a sample counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    PerSecond,
    Bytes,
    Ratio,
}

/// One step of a workload.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) samples: Vec<f64>,
    /// How many answers each execution of the step had, in order, within one run.
    pub(crate) answers: Vec<u64>,
}

impl Step {
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    /// The shortest time, the highest rate.
    pub(crate) fn best(&self) -> Option<f64> {
        let samples = self.samples.iter().copied();
        match self.unit {
            Unit::PerSecond => samples.max_by(f64::total_cmp),
            Unit::Seconds | Unit::Bytes | Unit::Ratio => samples.min_by(f64::total_cmp),
        }
    }
}

/// Collects the steps of one run, or of several.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) steps: Vec<Step>,
}

impl Recorder {
    /// Times work. What it returns is dropped by the caller, outside the measurement.
    pub(crate) fn time<T>(&mut self, step: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        let result = work();
        let seconds = begun.elapsed().as_secs_f64();
        let result = result?;
        self.sample(step, Unit::Seconds, seconds);
        Ok(result)
    }

    pub(crate) fn sample(&mut self, step: &str, unit: Unit, sample: f64) {
        self.step(step, unit).samples.push(sample);
    }

    /// Notes how many answers the step had.
    pub(crate) fn answers(&mut self, step: &str, answers: usize) {
        self.step(step, Unit::Seconds).answers.push(answers as u64);
    }

    /// The step of that name, a new one if there is none.
    fn step(&mut self, name: &str, unit: Unit) -> &mut Step {
        let at = match self.steps.iter().position(|step| step.name == name) {
            Some(at) => at,
            None => {
                let name = name.to_owned();
                self.steps.push(Step { name, unit, samples: Vec::new(), answers: Vec::new() });
                self.steps.len() - 1
            }
        };
        &mut self.steps[at]
    }

    /// Adds another run of the same steps. Fails if its answers differ.
    pub(crate) fn add(&mut self, run: Recorder) -> Result<()> {
        for step in run.steps {
            let own = self.step(&step.name, step.unit);
            if own.samples.is_empty() && own.answers.is_empty() {
                own.answers = step.answers;
            } else if own.answers != step.answers {
                let (name, first, now) = (step.name, &own.answers, step.answers);
                bail!("step '{name}' had {first:?} answers in one run and {now:?} in another");
            }
            own.samples.extend(step.samples);
        }
        Ok(())
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sample: f64, answers: usize) -> Recorder {
        let mut recorder = Recorder::default();
        recorder.sample("read", Unit::Seconds, sample);
        recorder.answers("read", answers);
        recorder
    }

    #[test]
    fn runs_add_up_and_must_agree() {
        let mut all = run(3.0, 7);
        all.add(run(1.0, 7)).unwrap();
        all.add(run(2.0, 7)).unwrap();
        let step = all.find("read").unwrap();
        assert_eq!((step.median(), step.best()), (Some(2.0), Some(1.0)));
        assert_eq!(step.answers, [7]);
        assert!(all.add(run(1.0, 8)).is_err());
    }
}
