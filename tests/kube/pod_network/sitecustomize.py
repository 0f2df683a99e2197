"""What a cluster's network does for a process in a pod: names of services, and an address of its own.

Python loads this before anything else, as its directory is on PYTHONPATH.
"""

from __future__ import annotations

import os
import socket

HOSTS = os.environ["KUBE_HOSTS"]
"""A file with lines of an address and its names."""

NETWORK, OFFSET = os.environ["KUBE_NETWORK"], int(os.environ["KUBE_OFFSET"])
"""What addresses of pods and services begin with, and how far off their well-known ports are: see kube.network."""

OWN = os.environ.get("KUBE_POD_IP", "")
"""Of the pod; empty for the operator, which is none here."""

ANYWHERE = (None, "", "0.0.0.0", "::")

_getaddrinfo, _bind = socket.getaddrinfo, socket.socket.bind
_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex


def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002  as it is called
    """Services by name; "here" is the pod's own address."""
    name = host.decode() if isinstance(host, bytes) else host
    if OWN and name in ANYWHERE and flags & socket.AI_PASSIVE:
        name = OWN
    return _getaddrinfo(_address(name), port, family, type, proto, flags)


def _address(name):
    with open(HOSTS) as lines:  # noqa: PTH123  a small start is a fast one
        for line in lines:
            address, *names = line.split()
            if name in names:
                return address
    return name


def bind(self, address):
    """Where all addresses are asked for, the pod's own."""
    if OWN and isinstance(address, tuple) and address[0] in ANYWHERE:
        address = (OWN, *address[1:])
    return _bind(self, _true(address))


def connect(self, address):
    """A datagram's socket is asked which address it would be sent from: the pod's own."""
    if OWN and self.type == socket.SOCK_DGRAM and self.family == socket.AF_INET:
        return _bind(self, (OWN, 0))
    return _connect(self, _true(address))


def connect_ex(self, address):
    """The same, with its outcome as a number."""
    return _connect_ex(self, _true(address))


def _true(address):
    if isinstance(address, tuple) and str(address[0]).startswith(NETWORK) and 0 < address[1] < 10_000:
        return (address[0], address[1] + OFFSET, *address[2:])
    return address


socket.getaddrinfo = getaddrinfo
socket.socket.bind = bind
socket.socket.connect = connect
socket.socket.connect_ex = connect_ex
