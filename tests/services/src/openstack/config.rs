//! The services' configuration files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{CloudService, SERVICE_USER};

/// What the files are made of.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// The folder with unpacked packages.
    pub(super) packages: PathBuf,
    /// The folder for files and logs.
    pub(super) folder: PathBuf,
    pub(super) database_port: u16,
    pub(super) broker_port: u16,
    pub(super) keystone_url: String,
    /// Of services with an API, on 127.0.0.1.
    pub(super) ports: BTreeMap<CloudService, u16>,
}

impl Config {
    /// The URL of a database, as SQLAlchemy takes it.
    pub(super) fn database_url(&self, name: &str) -> String {
        let port = self.database_port;
        format!(
            "mysql+pymysql://{SERVICE_USER}:{SERVICE_USER}@127.0.0.1:{port}/{name}?charset=utf8"
        )
    }

    /// The port of a service with an API; 0 of another.
    pub(super) fn port(&self, service: CloudService) -> u16 {
        self.ports.get(&service).copied().unwrap_or_default()
    }

    /// Where a service with an API is.
    pub(super) fn url(&self, service: CloudService) -> String {
        format!("http://127.0.0.1:{}{}", self.port(service), service.path())
    }

    /// A program: one of an unpacked package, or an installed one.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        let unpacked = self.packages.join("usr/bin").join(name);
        if unpacked.is_file() { unpacked } else { Path::new("/usr/bin").join(name) }
    }

    /// The configuration file of a program: that of its service.
    pub(super) fn file(&self, program: &str) -> PathBuf {
        let service = program.split_once('-').map_or(program, |(service, _)| service);
        self.folder.join(format!("{service}.conf"))
    }

    /// Writes all files.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        for name in ["images", "staging", "tasks", "locks", "neutron", "nova"] {
            fs::create_dir(self.folder.join(name))?;
        }
        for (name, own) in [
            ("glance", self.glance()),
            ("placement", self.placement()),
            ("neutron", self.neutron()),
            ("nova", self.nova()),
        ] {
            fs::write(self.file(name), format!("{own}{}", self.common()))?;
        }
        Ok(())
    }

    /// What all have: who they are, and that a token is looked at with every request.
    fn common(&self) -> String {
        format!(
            "[keystone_authtoken]\n\
             www_authenticate_uri = {keystone}\n\
             token_cache_time = -1\n\
             {login}\
             [oslo_concurrency]\n\
             lock_path = {folder}/locks\n",
            keystone = self.keystone_url,
            login = self.login(),
            folder = self.folder.display(),
        )
    }

    /// How a service logs in.
    fn login(&self) -> String {
        format!(
            "auth_type = password\n\
             auth_url = {}\n\
             username = {SERVICE_USER}\n\
             password = {SERVICE_USER}\n\
             project_name = service\n\
             user_domain_name = Default\n\
             project_domain_name = Default\n\
             region_name = RegionOne\n",
            self.keystone_url
        )
    }

    fn glance(&self) -> String {
        format!(
            "[DEFAULT]\n\
             bind_host = 127.0.0.1\n\
             bind_port = {port}\n\
             workers = 0\n\
             enabled_backends = files:file\n\
             [database]\n\
             connection = {database}\n\
             [glance_store]\n\
             default_backend = files\n\
             [files]\n\
             filesystem_store_datadir = {folder}/images\n\
             [os_glance_staging_store]\n\
             filesystem_store_datadir = {folder}/staging\n\
             [os_glance_tasks_store]\n\
             filesystem_store_datadir = {folder}/tasks\n\
             [paste_deploy]\n\
             flavor = keystone\n\
             config_file = {packages}/usr/share/glance-common/glance-api-paste.ini\n",
            port = self.port(CloudService::Glance),
            database = self.database_url("glance"),
            folder = self.folder.display(),
            packages = self.packages.display(),
        )
    }

    fn placement(&self) -> String {
        let database = self.database_url("placement");
        format!("[placement_database]\nconnection = {database}\n")
    }

    /// Objects only: there are no agents and so no mechanism to bind ports with.
    fn neutron(&self) -> String {
        format!(
            "[DEFAULT]\n\
             bind_host = 127.0.0.1\n\
             bind_port = {port}\n\
             api_workers = 0\n\
             rpc_workers = 0\n\
             rpc_state_report_workers = 0\n\
             transport_url = {broker}\n\
             core_plugin = ml2\n\
             service_plugins = router\n\
             api_paste_config = {packages}/usr/share/neutron-common/api-paste.ini\n\
             state_path = {folder}/neutron\n\
             notify_nova_on_port_status_changes = false\n\
             notify_nova_on_port_data_changes = false\n\
             [database]\n\
             connection = {database}\n\
             [ml2]\n\
             type_drivers = local,flat\n\
             tenant_network_types = local\n\
             mechanism_drivers =\n\
             extension_drivers = port_security\n",
            port = self.port(CloudService::Neutron),
            broker = self.broker_url(),
            database = self.database_url("neutron"),
            folder = self.folder.display(),
            packages = self.packages.display(),
        )
    }

    fn nova(&self) -> String {
        let mut text = format!(
            "[DEFAULT]\n\
             host = compute-1\n\
             my_ip = 127.0.0.1\n\
             enabled_apis = osapi_compute\n\
             osapi_compute_listen = 127.0.0.1\n\
             osapi_compute_listen_port = {port}\n\
             osapi_compute_workers = 1\n\
             transport_url = {broker}\n\
             compute_driver = fake.MediumFakeDriver\n\
             state_path = {folder}/nova\n\
             [wsgi]\n\
             api_paste_config = {packages}/usr/share/nova-common/api-paste.ini\n\
             [api_database]\n\
             connection = {api_database}\n\
             [database]\n\
             connection = {database}\n\
             [conductor]\n\
             workers = 1\n\
             [scheduler]\n\
             workers = 1\n\
             [vnc]\n\
             enabled = false\n\
             [glance]\n\
             api_servers = {glance}\n",
            port = self.port(CloudService::NovaApi),
            broker = self.broker_url(),
            api_database = self.database_url("nova_api"),
            database = self.database_url("nova"),
            glance = self.url(CloudService::Glance),
            folder = self.folder.display(),
            packages = self.packages.display(),
        );
        for peer in ["neutron", "placement"] {
            text += &format!("[{peer}]\n{}", self.login());
        }
        text
    }

    fn broker_url(&self) -> String {
        format!("rabbit://guest:guest@127.0.0.1:{}/", self.broker_port)
    }
}
