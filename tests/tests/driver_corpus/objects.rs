//! Recorded objects of services that are not asked over HTTP and JSON: pushed as a whole, or served
//! as the service's own protocol has it.

use std::path::Path;

use congress_plugins::Push;
use congress_server::fixture::{Fixture, compare, tables};
use serde_json::Value;

use super::host;
use super::push::Pushed;
use super::service::Service;
use super::vcenter::VCenter;

/// Replays a case whose service has these objects.
pub(crate) async fn replay(
    component: &Path,
    case: &Fixture,
    objects: &Value,
) -> Result<(), String> {
    let lines = if case.driver == "vcenter" {
        let vcenter = VCenter::start(objects.clone()).await;
        let mut config = case.config.clone();
        config.insert("auth_url".to_owned(), vcenter.url().into());
        let nobody = Service::start(Vec::new(), None).await;
        let source = host::source(component, &nobody, config).await?;
        let polled = tables::poll(&source, &tables::roots(&source, &[])).await;
        let polled = polled.map_err(|error| error.to_string())?;
        if let Some((table, error)) = polled.failed.first() {
            return Err(format!("table {table}: {error}"));
        }
        compare::differences(&polled.tables, case)
    } else {
        let pushed = Pushed::new(component, case).await?;
        pushed.push(Push::Webhook(objects.clone())).await?;
        pushed.differences(case)
    };
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}
