//! Simulation for the API.

use congress_policy::{Simulation, SimulationAnswers};
use uuid::Uuid;

use super::handle::EngineHandle;
use crate::failure::{Answer, Failure, Named};

/// The most answers that are told. Each is a text of its own, so they take more memory than rows.
const MAX_ANSWERS: usize = 100_000;

/// What is to be simulated; see [`Simulation`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimulationRequest {
    /// One atom or one rule.
    pub query: String,
    /// Updates and actions.
    pub sequence: String,
    /// The policy that says what actions do, by id or name.
    pub action_policy: String,
    /// Whether what came and went is told, instead of what there is.
    pub delta: bool,
    /// Whether to tell how.
    pub trace: bool,
}

/// What a simulation found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// One literal each.
    pub result: Vec<String>,
    /// If asked for.
    pub trace: Option<String>,
}

impl EngineHandle {
    /// Answers a query as if a sequence had been carried out. Nothing changes.
    pub async fn simulate(&self, policy: &str, request: SimulationRequest) -> Answer<Simulated> {
        let (policy, action_policy) =
            (self.known_policy(policy)?, self.known_policy(&request.action_policy)?);
        self.query(move |snapshot, limits| {
            let simulation = Simulation {
                query: &request.query,
                policy: Some(&policy),
                sequence: &request.sequence,
                action_policy: Some(&action_policy),
                delta: request.delta,
                trace: request.trace,
                fresh: &|| Uuid::new_v4().to_string(),
            };
            let found = snapshot.simulate(&simulation, limits).map_err(refused)?;
            let answers = match &found.answers {
                SimulationAnswers::After(answers) => answers.len(),
                SimulationAnswers::Delta { gained, lost } => gained.len() + lost.len(),
            };
            if answers > MAX_ANSWERS {
                return Err(refused(format_args!(
                    "The query has {answers} answers, and {MAX_ANSWERS} are the most that are \
                     told: ask for less"
                )));
            }
            let result = found.answers.statements().iter().map(ToString::to_string).collect();
            Ok(Simulated { result, trace: found.trace })
        })
        .await
    }

    /// The name of a policy that a simulation needs.
    fn known_policy(&self, id_or_name: &str) -> Answer<String> {
        let name = self.policy_name(id_or_name);
        name.ok_or_else(|| refused(format_args!("Unknown policy {id_or_name}")))
    }
}

fn refused(reason: impl std::fmt::Display) -> Failure {
    Failure::named(Named::SimulateError, reason)
}
