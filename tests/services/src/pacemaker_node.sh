# shellcheck shell=bash
# A node of a Pacemaker cluster, the first process of its namespaces (tests/services/src/pacemaker.rs).
#
# From the environment: NODE (its name), NODES (how many), FOLDER (its logs), ADDRESS (in the
# services' network), SERVICES (the services' address).
set -eu
mount --make-rprivate /
hostname "$NODE"
for folder in /run /dev/shm /var/lib/pacemaker /var/lib/corosync /var/log/pacemaker \
  /var/log/corosync /etc/corosync /etc/pacemaker; do
  mkdir -p "$folder"
  mount -t tmpfs tmpfs "$folder"
done
mkdir -p /run/crm /run/pacemaker /run/resource-agents /run/lock \
  /var/lib/pacemaker/{blackbox,cib,cores,pengine} "$FOLDER/log"
chown -R hacluster:haclient /var/lib/pacemaker /run/crm /var/log/pacemaker
chmod 750 /var/lib/pacemaker/*
# What the host's services write, kept for whoever reads it after the test.
mkdir -p /var/log/congress
mount --bind "$FOLDER/log" /var/log/congress
if id congress >/dev/null 2>&1; then chown congress: /var/log/congress; fi

# The links are made outside and moved here.
until ip link show cluster >/dev/null 2>&1 && ip link show services >/dev/null 2>&1; do sleep 0.05; done
number=${NODE#node}
ip link set lo up
ip address add "10.99.0.$number/24" dev cluster
ip link set cluster up
ip address add "$ADDRESS/32" dev services
ip link set services up
ip route add "$SERVICES" dev services src "$ADDRESS"

{
  cat <<CONF
totem {
  version: 2
  cluster_name: congress
  transport: udpu
  crypto_cipher: none
  crypto_hash: none
  token: 1000
}
nodelist {
CONF
  for n in $(seq "$NODES"); do
    printf '  node {\n    ring0_addr: 10.99.0.%s\n    name: node%s\n    nodeid: %s\n  }\n' "$n" "$n" "$n"
  done
  cat <<CONF
}
quorum {
  provider: corosync_votequorum
  expected_votes: $NODES
  two_node: 1
  wait_for_all: 0
}
logging {
  to_stderr: yes
  to_syslog: no
}
CONF
} >/etc/corosync/corosync.conf

corosync -f 2>"$FOLDER/corosync.log" &
until corosync-cfgtool -s >/dev/null 2>&1; do sleep 0.1; done
PCMK_logfile=$FOLDER/pacemaker.log pacemakerd >"$FOLDER/pacemakerd.log" 2>&1 &
# As the first process of its namespace it takes notice of the end of all others.
while :; do
  sleep 3600 &
  wait "$!" || true
done
