//! Where the server is and who asks: from flags, the variables of OpenStack's clients, and
//! `clouds.yaml`, in this order.

mod auth;
mod clouds;
mod keystone;
mod settings;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use reqwest::Client;

pub(crate) use auth::Auth;
pub(crate) use keystone::Session;
use settings::Settings;

/// Where a server of one's own machine is.
const HERE: &str = "http://127.0.0.1:1789";

/// What of it all has a flag.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Server")]
pub(crate) struct Flags {
    /// Where the server is, instead of where the catalogue or clouds.yaml has it.
    #[arg(long, env = "CONGRESS_URL", global = true, hide_env_values = true)]
    url: Option<String>,
    /// The cloud of clouds.yaml.
    #[arg(long, env = "OS_CLOUD", value_name = "NAME", global = true, hide_short_help = true)]
    os_cloud: Option<String>,
    /// The region, where the catalogue has several.
    #[arg(
        long,
        env = "OS_REGION_NAME",
        value_name = "REGION",
        global = true,
        hide_short_help = true
    )]
    os_region_name: Option<String>,
    /// Which of the catalogue's endpoints: public, internal or admin.
    #[arg(long, env = "OS_INTERFACE", value_name = "KIND", global = true, hide_short_help = true)]
    os_interface: Option<String>,
    /// Certificates of authorities to trust besides the system's, as PEM.
    #[arg(long, env = "OS_CACERT", value_name = "FILE", global = true, hide_short_help = true)]
    os_cacert: Option<String>,
    /// Takes any certificate for good.
    #[arg(long, global = true, hide_short_help = true)]
    insecure: bool,
}

/// How to reach a server; nothing has been sent yet.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) auth: Auth,
    /// The server, if no catalogue is to be asked.
    pub(crate) endpoint: Option<String>,
    region: Option<String>,
    interface: String,
}

/// What the flags, this process's environment and its files say.
pub(crate) fn connection(flags: &Flags) -> anyhow::Result<Connection> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let settings = Settings::new(flags.os_cloud.as_deref(), variable)?;
    let auth = Auth::new(&settings)?;
    // A variable that is empty says nothing.
    let given = |flag: &Option<String>| flag.clone().filter(|value| !value.is_empty());
    let or = |flag: &Option<String>, name: &str| given(flag).or_else(|| settings.get(name));
    let mut endpoint = or(&flags.url, "policy_endpoint_override");
    if endpoint.is_none() && !auth.is_keystone() {
        let named = settings.get("endpoint").or_else(|| settings.get("url"));
        endpoint = Some(named.unwrap_or_else(|| HERE.to_owned()));
    }
    let interface = or(&flags.os_interface, "interface");
    let interface = interface.as_deref().unwrap_or("public").trim_end_matches("URL").to_owned();
    let cacert = or(&flags.os_cacert, "cacert").map(PathBuf::from);
    let insecure = flags.insecure || settings.is_insecure()?;
    Ok(Connection {
        client: client(cacert, insecure)?,
        auth,
        endpoint,
        region: or(&flags.os_region_name, "region_name"),
        interface,
    })
}

fn client(cacert: Option<PathBuf>, insecure: bool) -> anyhow::Result<Client> {
    // Fails only if it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = Client::builder()
        .user_agent(concat!("congress/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(std::time::Duration::from_secs(30))
        // Where a redirect leads, neither a password nor a token may follow.
        .redirect(reqwest::redirect::Policy::none())
        .tls_danger_accept_invalid_certs(insecure);
    if let Some(path) = cacert {
        let file = path.display();
        let pem = std::fs::read(&path).with_context(|| format!("cannot read {file} (cacert)"))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .with_context(|| format!("{file} (cacert) is no PEM file of certificates"))?;
        if certificates.is_empty() {
            bail!("{file} (cacert) holds no certificate");
        }
        client = client.tls_certs_merge(certificates);
    }
    client.build().context("cannot set up TLS")
}
