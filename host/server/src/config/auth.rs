//! Who may use the API: `auth_strategy`, `[keystone_authtoken]`, `[oslo_policy]` and `[cors]`.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::load::Reader;
use super::options::{self, Opt};
use super::{AuthStrategy, Environment, Roles};
use crate::api::Cors;
use crate::auth::{
    Account, AuthOptions, Credentials, EndpointChoice, IdOrName, KeystoneOptions, PolicyFiles,
    Scope, Secret, TokenOptions,
};

/// The domain of users and projects that name none: every Keystone has it.
const DEFAULT_DOMAIN: &str = "default";

/// The names of a policy file that are looked for unless one is given.
const POLICY_FILES: [&str; 2] = ["policy.json", "policy.yaml"];

impl Reader<'_> {
    pub(super) fn auth_strategy(
        &mut self,
        roles: Roles,
        environment: &Environment,
    ) -> AuthStrategy {
        match self.value(&options::AUTH_STRATEGY).as_str() {
            "noauth" => AuthStrategy::NoAuth,
            // Nobody asks anything of a node without the API.
            "keystone" if !roles.api => AuthStrategy::NoAuth,
            "keystone" => match self.keystone() {
                Some((keystone, tokens)) => {
                    let policy = self.policy_files(environment);
                    AuthStrategy::Keystone(Box::new(AuthOptions { keystone, tokens, policy }))
                }
                None => AuthStrategy::NoAuth,
            },
            other => {
                let text = format!("is {other:?}, but must be keystone or noauth");
                self.problems.push(self.about(&options::AUTH_STRATEGY.spec, &text));
                AuthStrategy::NoAuth
            }
        }
    }

    /// None if what is needed is missing, which is among the problems then.
    fn keystone(&mut self) -> Option<(KeystoneOptions, TokenOptions)> {
        let auth_url = self.needed(&options::KEYSTONE_AUTH_URL, "Keystone's address");
        let auth_url = auth_url.and_then(|text| match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Some(url),
            _ => {
                let text = "is no address such as http://keystone.example:5000/v3";
                self.problems.push(self.about(&options::KEYSTONE_AUTH_URL.spec, text));
                None
            }
        });
        let credentials = self.credentials();
        let interface = self.optional(&options::KEYSTONE_INTERFACE);
        let region = self.optional(&options::KEYSTONE_REGION);
        let endpoint = (interface.is_some() || region.is_some()).then(|| EndpointChoice {
            interface: interface.unwrap_or_else(|| "internal".to_owned()),
            region,
        });
        let certificate = self.optional(&options::KEYSTONE_CERT);
        let key = self.optional(&options::KEYSTONE_KEY);
        let certificate = certificate.map(|certificate| {
            let key = key.unwrap_or_else(|| certificate.clone());
            (certificate, key)
        });
        let www_authenticate_uri = self.optional(&options::KEYSTONE_WWW_AUTHENTICATE_URI);
        let seconds: i64 = self.value(&options::TOKEN_CACHE_TIME);
        let (auth_url, credentials) = (auth_url?, credentials?);
        let tokens = TokenOptions {
            www_authenticate_uri: www_authenticate_uri.unwrap_or_else(|| auth_url.to_string()),
            cache_time: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
            cache_size: self.value(&options::TOKEN_CACHE_SIZE),
            service_roles: self.value(&options::SERVICE_TOKEN_ROLES),
            service_roles_required: self.value(&options::SERVICE_TOKEN_ROLES_REQUIRED),
        };
        let keystone = KeystoneOptions {
            auth_url,
            credentials,
            endpoint,
            ca_file: self.optional(&options::KEYSTONE_CA),
            certificate,
            insecure: self.value(&options::KEYSTONE_INSECURE),
            timeout: self.value(&options::KEYSTONE_TIMEOUT),
            retries: self.value(&options::KEYSTONE_RETRIES),
        };
        Some((keystone, tokens))
    }

    fn credentials(&mut self) -> Option<Credentials> {
        match self.value(&options::KEYSTONE_AUTH_TYPE).as_str() {
            "password" | "v3password" => self.password(),
            "v3applicationcredential" => self.application_credential(),
            other => {
                let text = format!("is {other:?}, but must be password or v3applicationcredential");
                self.problems.push(self.about(&options::KEYSTONE_AUTH_TYPE.spec, &text));
                None
            }
        }
    }

    fn password(&mut self) -> Option<Credentials> {
        let user = self.user();
        if user.is_none() {
            self.missing(&options::KEYSTONE_USERNAME, "the user of this service");
        }
        let password = self.needed(&options::KEYSTONE_PASSWORD, "its password");
        let project = self.account(
            &options::KEYSTONE_PROJECT_ID,
            &options::KEYSTONE_PROJECT_NAME,
            &options::KEYSTONE_PROJECT_DOMAIN_ID,
            &options::KEYSTONE_PROJECT_DOMAIN_NAME,
        );
        let domain = self.id_or_name(&options::KEYSTONE_DOMAIN_ID, &options::KEYSTONE_DOMAIN_NAME);
        let system = self.optional(&options::KEYSTONE_SYSTEM_SCOPE);
        let scope = match (project, domain, system.as_deref()) {
            (Some(project), _, _) => Scope::Project(project),
            (None, Some(domain), _) => Scope::Domain(domain),
            (None, None, Some("all")) => Scope::System,
            _ => {
                self.missing(&options::KEYSTONE_PROJECT_NAME, "the project of this service's user");
                Scope::Unscoped
            }
        };
        Some(Credentials::Password { user: user?, password: Secret::from(password?), scope })
    }

    fn application_credential(&mut self) -> Option<Credentials> {
        let credential =
            self.id_or_name(&options::KEYSTONE_CREDENTIAL_ID, &options::KEYSTONE_CREDENTIAL_NAME);
        if credential.is_none() {
            let what = "the id of this service's application credential";
            self.missing(&options::KEYSTONE_CREDENTIAL_ID, what);
        }
        let user = self.user().filter(|_| matches!(credential, Some(IdOrName::Name(_))));
        let secret = self.needed(&options::KEYSTONE_CREDENTIAL_SECRET, "its secret");
        let secret = Secret::from(secret?);
        Some(Credentials::ApplicationCredential { credential: credential?, user, secret })
    }

    fn user(&mut self) -> Option<Account> {
        self.account(
            &options::KEYSTONE_USER_ID,
            &options::KEYSTONE_USERNAME,
            &options::KEYSTONE_USER_DOMAIN_ID,
            &options::KEYSTONE_USER_DOMAIN_NAME,
        )
    }

    fn account(
        &mut self,
        id: &Opt<String>,
        name: &Opt<String>,
        domain_id: &Opt<String>,
        domain_name: &Opt<String>,
    ) -> Option<Account> {
        let account = self.id_or_name(id, name)?;
        let domain = self.id_or_name(domain_id, domain_name);
        let domain = domain.unwrap_or_else(|| IdOrName::Id(DEFAULT_DOMAIN.to_owned()));
        Some(Account { account, domain })
    }

    fn id_or_name(&mut self, id: &Opt<String>, name: &Opt<String>) -> Option<IdOrName> {
        let id = self.optional(id).map(IdOrName::Id);
        id.or_else(|| self.optional(name).map(IdOrName::Name))
    }

    /// An option that must be set; what it is ends a sentence about it.
    fn needed(&mut self, option: &Opt<String>, what: &str) -> Option<String> {
        let value = self.optional(option);
        if value.is_none() {
            self.missing(option, what);
        }
        value
    }

    fn missing(&mut self, option: &Opt<String>, what: &str) {
        let text = format!(
            "is not set, which auth_strategy = keystone needs: {what}; or set [DEFAULT] \
             auth_strategy = noauth, and let only trusted hosts reach the API (bind_host = \
             127.0.0.1)"
        );
        self.problems.push(self.about(&option.spec, &text));
    }

    fn policy_files(&mut self, environment: &Environment) -> PolicyFiles {
        let mut beside: Vec<PathBuf> = Vec::new();
        let files = self.files();
        let own = files.iter().rev().filter_map(|file| file.parent()).map(PathBuf::from);
        for folder in own.chain(environment.config_folders.iter().cloned()) {
            if !beside.contains(&folder) {
                beside.push(folder);
            }
        }
        // An absolute path stays as it is.
        let candidates = |name: &str| -> Vec<PathBuf> {
            beside.iter().map(|folder| folder.join(name)).collect()
        };
        let named = self.optional(&options::POLICY_FILE);
        let files: Vec<_> = match &named {
            Some(name) => candidates(name),
            None => POLICY_FILES.into_iter().flat_map(candidates).collect(),
        };
        if named.is_some() && !files.iter().any(|path| path.exists()) {
            let text = "is not there: only administrators may use the API until it is";
            self.warnings.push(self.about(&options::POLICY_FILE.spec, text));
        }
        let folders = self.several(&options::POLICY_DIRS);
        let folders = folders.iter().map(|name| candidates(name)).collect();
        PolicyFiles { files, folders, default_rule: self.value(&options::POLICY_DEFAULT_RULE) }
    }

    /// None if no origin is allowed.
    pub(super) fn cors(&mut self) -> Option<Cors> {
        let cors = Cors {
            origins: self.value(&options::CORS_ORIGIN),
            credentials: self.value(&options::CORS_CREDENTIALS),
            exposed: self.value(&options::CORS_EXPOSE),
            max_age: u32::try_from(self.value(&options::CORS_MAX_AGE)).ok().filter(|n| *n > 0),
            methods: self.value(&options::CORS_METHODS),
            headers: self.value(&options::CORS_HEADERS),
        };
        (!cors.origins.is_empty()).then_some(cors)
    }
}
