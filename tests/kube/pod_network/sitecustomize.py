"""Emulates the network of a cluster in the process of a pod: names of services, and an address of the pod.

Python imports this first, because its directory is on PYTHONPATH.
"""

from __future__ import annotations

import os
import socket

HOSTS = os.environ["KUBE_HOSTS"]
"""File with an address and its names in each line."""

NETWORK, OFFSET = os.environ["KUBE_NETWORK"], int(os.environ["KUBE_OFFSET"])
"""Prefix of the addresses of pods and services, and offset of their well-known ports: see kube.network."""

OWN = os.environ.get("KUBE_POD_IP", "")
"""Address of the pod; empty for the operator, which does not run in a pod."""

ANYWHERE = (None, "", "0.0.0.0", "::")

_getaddrinfo, _bind = socket.getaddrinfo, socket.socket.bind
_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex


def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002  the signature of socket.getaddrinfo
    """Resolve services by name; a passive lookup of all addresses returns the pod's own address."""
    name = host.decode() if isinstance(host, bytes) else host
    if OWN and name in ANYWHERE and flags & socket.AI_PASSIVE:
        name = OWN
    return _getaddrinfo(_address(name), port, family, type, proto, flags)


def _address(name):
    with open(HOSTS) as lines:  # noqa: PTH123  keeps the start of a process fast
        for line in lines:
            address, *names = line.split()
            if name in names:
                return address
    return name


def bind(self, address):
    """Bind to the pod's own address instead of all addresses."""
    if OWN and isinstance(address, tuple) and address[0] in ANYWHERE:
        address = (OWN, *address[1:])
    return _bind(self, _translate(address))


def connect(self, address):
    """Connect; a datagram socket is bound to the pod's address, because its local address is what is queried."""
    if OWN and self.type == socket.SOCK_DGRAM and self.family == socket.AF_INET:
        return _bind(self, (OWN, 0))
    return _connect(self, _translate(address))


def connect_ex(self, address):
    """Connect, and return the error number."""
    return _connect_ex(self, _translate(address))


def _translate(address):
    if isinstance(address, tuple) and str(address[0]).startswith(NETWORK) and 0 < address[1] < 10_000:
        return (address[0], address[1] + OFFSET, *address[2:])
    return address


socket.getaddrinfo = getaddrinfo
socket.socket.bind = bind
socket.socket.connect = connect
socket.socket.connect_ex = connect_ex
