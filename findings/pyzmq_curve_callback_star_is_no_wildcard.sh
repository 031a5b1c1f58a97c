#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# pyzmq: an authenticator whose CURVE callback is set for the domain "*" denies every client of a socket that states its zap_domain.
#
# Seen: pyzmq 24.0.1 (that of Debian 12) and 27.3.0 (PyPI), with zmq.auth.thread.ThreadAuthenticator and a ROUTER as CURVE server.
# * configure_curve_callback(domain="*", ...): the callback is asked for a socket without a zap_domain. For one with
#   zap_domain = b"band" it is not asked, and the client that it would allow is denied (HANDSHAKE_FAILED_AUTH).
# * With domain="band" the same callback is asked, and the client is served.
# * The method's own text says: to cover all domains, use "*".
# A receiver that names a zap_domain looks dead: clients retry in silence. Cure: give the callback the socket's own domain.
#
# Usage: findings/pyzmq_curve_callback_star_is_no_wildcard.sh [VERSION]; exit status 0: still as described.
set -euo pipefail
version=${1:-27.3.0}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "pyzmq==$version" 2>"$work/log" || { tail -5 "$work/log" >&2; exit 2; }
cd "$work"
cat >see.py <<'PYTHON'
import sys

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator


class Allowed:
    def __init__(self, key):
        self.key, self.asked = key, 0

    def callback(self, domain, key):
        self.asked += 1
        return key == self.key


def served(stated: bytes, domain: str) -> tuple[bool, int]:
    """Whether a client with the allowed key reaches a server, and how often the callback was asked."""
    server_public, server_secret = zmq.curve_keypair()
    public, secret = zmq.curve_keypair()
    context, allowed = zmq.Context(), Allowed(public)
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticator.configure_curve_callback(domain=domain, credentials_provider=allowed)
    router, client = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    try:
        router.curve_server, router.curve_secretkey, router.curve_publickey = True, server_secret, server_public
        if stated:
            router.zap_domain = stated
        client.linger, client.curve_serverkey = 0, server_public
        client.curve_publickey, client.curve_secretkey = public, secret
        client.connect(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
        client.send(b"here")
        return bool(router.poll(1500)), allowed.asked
    finally:
        client.close()
        router.close(linger=0)
        authenticator.stop()
        context.term()


rows = {(stated, domain): served(stated, domain) for stated, domain in ((b"", "*"), (b"band", "*"), (b"band", "band"))}
for (stated, domain), (came, asked) in rows.items():
    print(f"pyzmq {zmq.__version__}: zap_domain {stated!r}, callback for {domain!r}: served {came}, callback asked {asked} times")
sys.exit(not (rows[b"", "*"][0] and rows[b"band", "*"] == (False, 0) and rows[b"band", "band"][0]))
PYTHON
timeout 60 venv/bin/python see.py
