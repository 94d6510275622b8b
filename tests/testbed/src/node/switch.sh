#!/bin/sh
# Sets a node's switch up, as an administrator of a real one would; runs while the database does. What is so already
# stays so.
# SOUTHBOUND is empty where somebody else connects the switch with OVN.
# usage: switch.sh NAME SOUTHBOUND UNDERLAY_ADDRESS UNDERLAY_HARDWARE_ADDRESS
set -eu
name=$1 southbound=$2 address=$3 hardware=$4
vsctl="ovs-vsctl --no-wait --timeout=60"

$vsctl init

# A node shares the machine with others, and needs no threads for each of its processors.
$vsctl \
	-- --may-exist add-br br-int \
	-- set Bridge br-int datapath_type=netdev fail_mode=secure other_config:disable-in-band=true \
	-- --may-exist add-br br-phy \
	-- set Bridge br-phy datapath_type=netdev fail_mode=standalone other_config:hwaddr="\"$hardware\"" \
	-- --may-exist add-port br-phy eth1 \
	-- --may-exist add-br br-ex \
	-- set Bridge br-ex datapath_type=netdev fail_mode=standalone \
	-- --may-exist add-port br-ex eth2 \
	-- set Open_vSwitch . \
	other_config:n-handler-threads=1 \
	other_config:n-revalidator-threads=1 \
	external_ids:hostname="$name" \
	external_ids:ovn-encap-ip="$address" \
	external_ids:ovn-bridge-mappings=public:br-ex

[ -z "$southbound" ] || $vsctl set Open_vSwitch . \
	external_ids:system-id="$name" \
	external_ids:ovn-remote="\"$southbound\"" \
	external_ids:ovn-encap-type=geneve
