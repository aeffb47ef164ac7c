//! Actions that only read. The original offered them with the rest of its client's methods; an
//! action has no result, so all that they tell is, by how they end, whether the service answers.
//! Arguments that choose what is listed are accepted, for that changes nothing.

use congress_driver::actions::{Template, bare, with_body};

const fn list(name: &'static str, arguments: &'static str, request: &'static str) -> Template {
    bare(name, arguments, request, "Lists them.")
}

const fn get(name: &'static str, arguments: &'static str, request: &'static str) -> Template {
    bare(name, arguments, request, "Reads one.")
}

pub(crate) const READS: &[Template] = &[
    list("agents.find", "", "GET os-agents"),
    list("agents.findall", "", "GET os-agents"),
    list("agents.list", "hypervisor?", "GET os-agents"),
    list("aggregates.find", "", "GET os-aggregates"),
    list("aggregates.findall", "", "GET os-aggregates"),
    get("aggregates.get", "aggregate", "GET os-aggregates/{aggregate}"),
    get("aggregates.get_details", "aggregate", "GET os-aggregates/{aggregate}"),
    list("aggregates.list", "", "GET os-aggregates"),
    list("availability_zones.find", "", "GET os-availability-zone/detail"),
    list("availability_zones.findall", "", "GET os-availability-zone/detail"),
    list("availability_zones.list", "detailed?", "GET os-availability-zone/detail"),
    list("flavors.find", "", "GET flavors/detail"),
    list("flavors.findall", "", "GET flavors/detail"),
    get("flavors.get", "flavor", "GET flavors/{flavor}"),
    list(
        "flavors.list",
        "detailed? is_public? marker? min_disk? min_ram? limit? sort_key? sort_dir?",
        "GET flavors/detail",
    ),
    list("hypervisors.find", "", "GET os-hypervisors/detail"),
    list("hypervisors.findall", "", "GET os-hypervisors/detail"),
    get("hypervisors.get", "hypervisor", "GET os-hypervisors/{hypervisor}"),
    list("hypervisors.list", "detailed? marker? limit?", "GET os-hypervisors/detail"),
    list(
        "hypervisors.search",
        "hypervisor_match servers? detailed?",
        "GET os-hypervisors/{hypervisor_match}/search",
    ),
    list("hypervisors.statistics", "", "GET os-hypervisors/statistics"),
    get("hypervisors.uptime", "hypervisor", "GET os-hypervisors/{hypervisor}/uptime"),
    get(
        "instance_action.get",
        "server request_id",
        "GET servers/{server}/os-instance-actions/{request_id}",
    ),
    list(
        "instance_action.list",
        "server marker? limit? changes_since? changes_before?",
        "GET servers/{server}/os-instance-actions",
    ),
    list("instance_usage_audit_log.get", "before?", "GET os-instance_usage_audit_log"),
    list("keypairs.find", "", "GET os-keypairs"),
    list("keypairs.findall", "", "GET os-keypairs"),
    get("keypairs.get", "keypair user_id?", "GET os-keypairs/{keypair}"),
    list("keypairs.list", "user_id? marker? limit?", "GET os-keypairs"),
    list("limits.get", "reserved? tenant_id?", "GET limits"),
    list("migrations.find", "", "GET os-migrations"),
    list("migrations.findall", "", "GET os-migrations"),
    list(
        "migrations.list",
        "host? status? instance_uuid? marker? limit? changes_since? changes_before? \
         migration_type? source_compute? user_id? project_id?",
        "GET os-migrations",
    ),
    get("quota_classes.get", "class_name", "GET os-quota-class-sets/{class_name}"),
    get("quotas.defaults", "tenant_id", "GET os-quota-sets/{tenant_id}/defaults"),
    get("quotas.get", "tenant_id user_id? detail?", "GET os-quota-sets/{tenant_id}"),
    list("server_groups.find", "", "GET os-server-groups"),
    list("server_groups.findall", "", "GET os-server-groups"),
    get("server_groups.get", "id", "GET os-server-groups/{id}"),
    list("server_groups.list", "all_projects? limit? offset?", "GET os-server-groups"),
    get("server_migrations.get", "server migration", "GET servers/{server}/migrations/{migration}"),
    list("server_migrations.list", "server", "GET servers/{server}/migrations"),
    get("servers.diagnostics", "server", "GET servers/{server}/diagnostics"),
    list("servers.find", "", "GET servers/detail"),
    list("servers.findall", "", "GET servers/detail"),
    get("servers.get", "server", "GET servers/{server}"),
    with_body(
        "servers.get_console_output",
        "server length=null",
        "POST servers/{server}/action",
        r#"{"os-getConsoleOutput": {"length": "{length}"}}"#,
        "Reads the end of a server's console.",
    ),
    with_body(
        "servers.get_mks_console",
        "server",
        "POST servers/{server}/remote-consoles",
        r#"{"remote_console": {"protocol": "mks", "type": "webmks"}}"#,
        "Opens a remote console.",
    ),
    get("servers.get_password", "server private_key?", "GET servers/{server}/os-server-password"),
    list("servers.interface_list", "server", "GET servers/{server}/os-interface"),
    list("servers.ips", "server", "GET servers/{server}/ips"),
    list(
        "servers.list",
        "detailed? search_opts? marker? limit? sort_keys? sort_dirs?",
        "GET servers/detail",
    ),
    list("servers.list_security_group", "server", "GET servers/{server}/os-security-groups"),
    list("servers.tag_list", "server", "GET servers/{server}/tags"),
    list("services.find", "", "GET os-services"),
    list("services.findall", "", "GET os-services"),
    list("services.list", "host? binary?", "GET os-services"),
    list(
        "volumes.get_server_volumes",
        "server_id",
        "GET servers/{server_id}/os-volume_attachments",
    ),
];
