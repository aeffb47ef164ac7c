//! The objects that every cluster has. Secrets and config maps are not among them.

use congress_driver::rest::Collection;
use congress_driver::translate::{Field, Translator, value};
use congress_driver::types::DataType::{Bool, Float, Int, IpAddress, Str};

use crate::collection;
use crate::quantity::{bytes, cores};
use crate::shape::{
    Scope, at, certificates, conditions, containers, grants, labels, object, paths, rows, rows_of,
    statuses, values, volumes,
};

const APPS: &str = "apis/apps/v1";
const BATCH: &str = "apis/batch/v1";
const CORE: &str = "api/v1";
const NETWORKING: &str = "apis/networking.k8s.io/v1";
const RBAC: &str = "apis/rbac.authorization.k8s.io/v1";

/// All collections; those of namespaced objects limited to one namespace, if it is given.
pub(crate) fn collections(namespace: Option<&str>) -> Vec<Collection> {
    let cluster = |group: &str, plural: &str, of: Translator| {
        collection(&format!("{group}/{plural}"), of) //
    };
    let namespaced = |group: &str, plural: &str, of: Translator| match namespace {
        Some(namespace) => collection(&format!("{group}/namespaces/{namespace}/{plural}"), of),
        None => collection(&format!("{group}/{plural}"), of),
    };
    vec![
        cluster(CORE, "nodes", nodes()),
        cluster(CORE, "namespaces", object("namespaces", Scope::Cluster, [phase()])),
        namespaced(CORE, "pods", pods()),
        namespaced(CORE, "services", services()),
        namespaced(CORE, "serviceaccounts", service_accounts()),
        cluster(CORE, "persistentvolumes", persistent_volumes()),
        namespaced(CORE, "persistentvolumeclaims", persistent_volume_claims()),
        namespaced(APPS, "deployments", deployments()),
        namespaced(APPS, "statefulsets", stateful_sets()),
        namespaced(APPS, "daemonsets", daemon_sets()),
        namespaced(BATCH, "jobs", jobs()),
        namespaced(BATCH, "cronjobs", cron_jobs()),
        namespaced(NETWORKING, "ingresses", ingresses()),
        namespaced(NETWORKING, "networkpolicies", network_policies()),
        namespaced(RBAC, "roles", role("roles", Scope::Namespaced)),
        cluster(RBAC, "clusterroles", role("cluster_roles", Scope::Cluster)),
        namespaced(RBAC, "rolebindings", binding("role_bindings", Scope::Namespaced)),
        cluster(RBAC, "clusterrolebindings", binding("cluster_role_bindings", Scope::Cluster)),
    ]
}

fn phase() -> Field {
    at("phase", ["status", "phase"]).typed(Str).desc("Where it is in its life, as Active")
}

fn nodes() -> Translator {
    let info = |column: &str, member: &str, text: &str| {
        at(column, ["status", "nodeInfo", member]).typed(Str).desc(text)
    };
    object(
        "nodes",
        Scope::Cluster,
        [
            at("unschedulable", ["spec", "unschedulable"])
                .absent(false)
                .typed(Bool)
                .desc("Whether it is cordoned"),
            at("provider_id", ["spec", "providerID"]).typed(Str).desc("Its id at the cloud"),
            at("pod_cidr", ["spec", "podCIDR"]).typed(Str).desc("The network of its pods"),
            at("cpu", ["status", "capacity", "cpu"]).extract(cores).typed(Float).desc("Processors"),
            at("memory", ["status", "capacity", "memory"])
                .extract(bytes)
                .typed(Int)
                .desc("Memory in bytes"),
            info("kubelet_version", "kubeletVersion", "The version of its kubelet"),
            info("container_runtime", "containerRuntimeVersion", "Runtime and its version"),
            info("os_image", "osImage", "The operating system"),
            info("kernel_version", "kernelVersion", "The version of its kernel"),
            info("architecture", "architecture", "The processor architecture"),
            rows(
                "nodes.taints",
                ["spec", "taints"],
                [
                    value("key").typed(Str).desc("The taint's key"),
                    value("value").typed(Str).desc("The taint's value"),
                    value("effect").typed(Str).desc("NoSchedule, PreferNoSchedule or NoExecute"),
                ],
            ),
            rows(
                "nodes.addresses",
                ["status", "addresses"],
                [
                    value("type").typed(Str).desc("InternalIP, ExternalIP, Hostname and others"),
                    value("address").typed(Str).desc("The address"),
                ],
            ),
            conditions("nodes.conditions"),
        ],
    )
}

fn pods() -> Translator {
    let spec =
        |column: &str, member: &str, text: &str| at(column, ["spec", member]).typed(Str).desc(text);
    let shares = |column: &str, member: &str, text: &str| {
        at(column, ["spec", member]).absent(false).typed(Bool).desc(text)
    };
    object(
        "pods",
        Scope::Namespaced,
        [
            phase(),
            spec("node", "nodeName", "The name of the node it runs on"),
            spec("service_account", "serviceAccountName", "The account it runs as"),
            at("pod_ip", ["status", "podIP"]).typed(IpAddress).desc("Its address"),
            at("host_ip", ["status", "hostIP"]).typed(IpAddress).desc("Its node's address"),
            shares("host_network", "hostNetwork", "Whether it uses the node's network"),
            shares("host_pid", "hostPID", "Whether it sees the node's processes"),
            shares("host_ipc", "hostIPC", "Whether it shares memory with the node"),
            spec("priority_class", "priorityClassName", "The class of its priority"),
            at("qos_class", ["status", "qosClass"]).typed(Str).desc("Guaranteed, Burstable, …"),
            at("deleted", ["metadata", "deletionTimestamp"])
                .typed(Str)
                .desc("When it was asked to end"),
            rows(
                "pods.owners",
                ["metadata", "ownerReferences"],
                [
                    value("kind").typed(Str).desc("The owner's kind, as ReplicaSet"),
                    value("name").typed(Str).desc("The owner's name"),
                    value("uid").col("owner_uid").typed(Str).desc("The owner's id"),
                ],
            ),
            rows_of("pods.containers", ["spec"], containers, container()),
            rows_of(
                "pods.container_statuses",
                ["status"],
                statuses,
                [
                    value("name").typed(Str).desc("The container's name"),
                    value("ready").typed(Bool).desc("Whether it is ready"),
                    value("restartCount")
                        .col("restart_count")
                        .typed(Int)
                        .desc("Times it restarted"),
                    value("imageID").col("image_id").typed(Str).desc("The image, with its digest"),
                    value("state").typed(Str).desc("running, waiting or terminated"),
                    value("reason").typed(Str).desc("Why, as CrashLoopBackOff"),
                ],
            ),
            rows_of(
                "pods.volumes",
                ["spec", "volumes"],
                volumes,
                [
                    value("name").typed(Str).desc("The volume's name in the pod"),
                    value("kind").typed(Str).desc("hostPath, secret, persistentVolumeClaim, …"),
                    value("source").typed(Str).desc("The path, or the name of claim or secret"),
                ],
            ),
            conditions("pods.conditions"),
        ],
    )
}

fn container() -> [Field; 13] {
    let context = |column: &str, member: &str, text: &str| {
        at(column, ["securityContext", member]).desc(text) //
    };
    let resource = |column: &str, kind: &str, what: &str| at(column, ["resources", kind, what]);
    [
        value("name").typed(Str).desc("The container's name"),
        value("kind").typed(Str).desc("main, init or ephemeral"),
        value("image").typed(Str).desc("The image, as the pod names it"),
        value("imagePullPolicy").col("image_pull_policy").typed(Str).desc("When it is pulled"),
        context("privileged", "privileged", "Whether it has all rights on the node").typed(Bool),
        context("allow_privilege_escalation", "allowPrivilegeEscalation", "Null: it may")
            .typed(Bool),
        context("run_as_user", "runAsUser", "The number of its user").typed(Int),
        context("run_as_non_root", "runAsNonRoot", "Whether root is refused").typed(Bool),
        context("read_only_root", "readOnlyRootFilesystem", "Whether it cannot write").typed(Bool),
        resource("cpu_request", "requests", "cpu").extract(cores).typed(Float).desc("Processors"),
        resource("cpu_limit", "limits", "cpu").extract(cores).typed(Float).desc("Processors"),
        resource("memory_request", "requests", "memory").extract(bytes).typed(Int).desc("Bytes"),
        resource("memory_limit", "limits", "memory").extract(bytes).typed(Int).desc("Bytes"),
    ]
}

fn services() -> Translator {
    let spec = |column: &str, member: &str, text: &str| {
        at(column, ["spec", member]).typed(Str).desc(text) //
    };
    object(
        "services",
        Scope::Namespaced,
        [
            spec("type", "type", "ClusterIP, NodePort, LoadBalancer or ExternalName"),
            spec("cluster_ip", "clusterIP", "Its address in the cluster, or None"),
            spec("external_name", "externalName", "The name that it stands for"),
            spec("external_traffic_policy", "externalTrafficPolicy", "Cluster or Local"),
            rows(
                "services.ports",
                ["spec", "ports"],
                [
                    value("name").typed(Str).desc("The port's name"),
                    value("protocol").typed(Str).desc("TCP, UDP or SCTP"),
                    value("port").typed(Int).desc("The service's port"),
                    value("targetPort").col("target_port").desc("The pods' port, or its name"),
                    value("nodePort").col("node_port").typed(Int).desc("The nodes' port"),
                ],
            ),
            labels("services.selector", ["spec", "selector"]),
            values("services.external_ips", ["spec", "externalIPs"], "ip"),
            rows(
                "services.load_balancer",
                ["status", "loadBalancer", "ingress"],
                [
                    value("ip").typed(Str).desc("The load balancer's address"),
                    value("hostname").typed(Str).desc("The load balancer's name"),
                ],
            ),
        ],
    )
}

fn service_accounts() -> Translator {
    let token = value("automountServiceAccountToken").col("automount_token").typed(Bool);
    let token = token.desc("Whether pods get its token; null: they do");
    object("service_accounts", Scope::Namespaced, [token])
}

fn persistent_volumes() -> Translator {
    let spec = |column: &str, member: &str, text: &str| {
        at(column, ["spec", member]).typed(Str).desc(text) //
    };
    object(
        "persistent_volumes",
        Scope::Cluster,
        [
            phase(),
            at("capacity", ["spec", "capacity", "storage"]).extract(bytes).typed(Int).desc("Bytes"),
            spec("storage_class", "storageClassName", "The class that it is of"),
            spec("reclaim_policy", "persistentVolumeReclaimPolicy", "Retain or Delete"),
            at("claim_namespace", ["spec", "claimRef", "namespace"])
                .typed(Str)
                .desc("The namespace of the claim that has it"),
            at("claim_name", ["spec", "claimRef", "name"])
                .typed(Str)
                .desc("The name of the claim that has it"),
        ],
    )
}

fn persistent_volume_claims() -> Translator {
    let spec = |column: &str, member: &str, text: &str| {
        at(column, ["spec", member]).typed(Str).desc(text) //
    };
    object(
        "persistent_volume_claims",
        Scope::Namespaced,
        [
            phase(),
            spec("storage_class", "storageClassName", "The class that is asked for"),
            spec("volume", "volumeName", "The name of the volume it got"),
            at("request", ["spec", "resources", "requests", "storage"])
                .extract(bytes)
                .typed(Int)
                .desc("Bytes that are asked for"),
            values("persistent_volume_claims.access_modes", ["spec", "accessModes"], "mode"),
        ],
    )
}

fn replicas() -> Field {
    at("replicas", ["spec", "replicas"]).typed(Int).desc("Pods that are wanted")
}

fn pods_in(column: &str, member: &str, text: &str) -> Field {
    at(column, ["status", member]).absent(0).typed(Int).desc(text)
}

fn template_account() -> Field {
    at("service_account", ["spec", "template", "spec", "serviceAccountName"])
        .typed(Str)
        .desc("The account that its pods run as")
}

fn deployments() -> Translator {
    object(
        "deployments",
        Scope::Namespaced,
        [
            replicas(),
            pods_in("ready", "readyReplicas", "Pods that are ready"),
            pods_in("available", "availableReplicas", "Pods that have been ready for a while"),
            pods_in("updated", "updatedReplicas", "Pods of the newest template"),
            at("strategy", ["spec", "strategy", "type"]).typed(Str).desc("RollingUpdate, Recreate"),
            at("paused", ["spec", "paused"]).absent(false).typed(Bool).desc("Whether it is paused"),
            template_account(),
            labels("deployments.selector", ["spec", "selector", "matchLabels"]),
            conditions("deployments.conditions"),
        ],
    )
}

fn stateful_sets() -> Translator {
    object(
        "stateful_sets",
        Scope::Namespaced,
        [
            replicas(),
            pods_in("ready", "readyReplicas", "Pods that are ready"),
            pods_in("updated", "updatedReplicas", "Pods of the newest template"),
            at("service", ["spec", "serviceName"])
                .typed(Str)
                .desc("The service that names its pods"),
            template_account(),
            labels("stateful_sets.selector", ["spec", "selector", "matchLabels"]),
        ],
    )
}

fn daemon_sets() -> Translator {
    object(
        "daemon_sets",
        Scope::Namespaced,
        [
            pods_in("desired", "desiredNumberScheduled", "Nodes that should run it"),
            pods_in("ready", "numberReady", "Nodes on which it is ready"),
            pods_in("misscheduled", "numberMisscheduled", "Nodes that run it and should not"),
            template_account(),
            labels("daemon_sets.selector", ["spec", "selector", "matchLabels"]),
        ],
    )
}

fn jobs() -> Translator {
    object(
        "jobs",
        Scope::Namespaced,
        [
            at("completions", ["spec", "completions"]).typed(Int).desc("Successes that are wanted"),
            pods_in("active", "active", "Pods that run"),
            pods_in("succeeded", "succeeded", "Pods that succeeded"),
            pods_in("failed", "failed", "Pods that failed"),
            conditions("jobs.conditions"),
        ],
    )
}

fn cron_jobs() -> Translator {
    object(
        "cron_jobs",
        Scope::Namespaced,
        [
            at("schedule", ["spec", "schedule"]).typed(Str).desc("When it runs, as 0 3 * * *"),
            at("suspend", ["spec", "suspend"]).absent(false).typed(Bool).desc("Whether it is off"),
            at("concurrency", ["spec", "concurrencyPolicy"])
                .typed(Str)
                .desc("Allow, Forbid or Replace"),
            at("last_schedule", ["status", "lastScheduleTime"]).typed(Str).desc("When it last ran"),
        ],
    )
}

fn ingresses() -> Translator {
    object(
        "ingresses",
        Scope::Namespaced,
        [
            at("class", ["spec", "ingressClassName"])
                .typed(Str)
                .desc("The class of its controller"),
            rows_of(
                "ingresses.paths",
                ["spec", "rules"],
                paths,
                [
                    value("host").typed(Str).desc("The host; null for any"),
                    value("path").typed(Str).desc("The path"),
                    value("pathType").col("path_type").typed(Str).desc("Exact, Prefix, …"),
                    at("service", ["backend", "service", "name"]).typed(Str).desc("Where it leads"),
                    at("port", ["backend", "service", "port", "number"])
                        .typed(Int)
                        .desc("The port there, if it is a number"),
                    at("port_name", ["backend", "service", "port", "name"])
                        .typed(Str)
                        .desc("The port there, if it is a name"),
                ],
            ),
            rows_of(
                "ingresses.tls",
                ["spec", "tls"],
                certificates,
                [
                    value("host").typed(Str).desc("A host with a certificate"),
                    value("secret").typed(Str).desc("The name of the secret that holds it"),
                ],
            ),
        ],
    )
}

fn network_policies() -> Translator {
    object(
        "network_policies",
        Scope::Namespaced,
        [
            labels("network_policies.pod_selector", ["spec", "podSelector", "matchLabels"]),
            values("network_policies.types", ["spec", "policyTypes"], "type"),
        ],
    )
}

fn role(table: &str, scope: Scope) -> Translator {
    let rules = rows_of(
        &format!("{table}.rules"),
        ["rules"],
        grants,
        [
            value("group").typed(Str).desc("The API group, * for all, null for an address"),
            value("resource").typed(Str).desc("The resource, * for all, or an address"),
            value("name").typed(Str).desc("The one object that it is about; null for all"),
            value("verb").typed(Str).desc("What is allowed, * for everything"),
        ],
    );
    object(table, scope, [rules])
}

fn binding(table: &str, scope: Scope) -> Translator {
    let subjects = rows(
        &format!("{table}.subjects"),
        ["subjects"],
        [
            value("kind").typed(Str).desc("User, Group or ServiceAccount"),
            value("namespace").typed(Str).desc("The namespace of a service account"),
            value("name").typed(Str).desc("The name of user, group or account"),
        ],
    );
    let role = |column: &str, member: &str, text: &str| {
        at(column, ["roleRef", member]).typed(Str).desc(text) //
    };
    let kind = role("role_kind", "kind", "Role or ClusterRole");
    object(table, scope, [kind, role("role_name", "name", "The role that is given"), subjects])
}
