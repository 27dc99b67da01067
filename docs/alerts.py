#!/usr/bin/env python3
"""Receives what nodes tell of events, and prints a line of each that is new and signed by one of the keys (OPERATIONS.md).

alerts.py PORT KEY...

KEY is a file with a node's public key, PEM. It answers on 127.0.0.1 alone; put a proxy with a certificate before it where nodes run
elsewhere. What no key has signed is answered with 400.
"""
import base64, json, subprocess, sys, tempfile, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

port, keys = int(sys.argv[1]), sys.argv[2:]
seen = set()


def signed(message, signature):
    """Whether one of the keys has signed the message."""
    with tempfile.TemporaryDirectory() as dir:
        m, s = Path(dir) / "message", Path(dir) / "signature"
        m.write_bytes(message)
        s.write_bytes(signature)
        for key in keys:
            if subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", key, "-sigfile", s, "-in", m],
                              capture_output=True).returncode == 0:
                return True
    return False


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(min(int(self.headers["Content-Length"]), 1 << 20))
        id, at, by = (self.headers["webhook-" + x] for x in ("id", "timestamp", "signature"))
        good = abs(time.time() - int(at)) < 300 and by.startswith("v1a,") and signed(
            f"{id}.{at}.".encode() + body, base64.b64decode(by.removeprefix("v1a,")))
        if good and id not in seen:
            seen.add(id)
            e = json.loads(body)["data"]
            print(e["node"], e["event"], json.dumps(e.get("facts", {})), flush=True)
        self.send_response(204 if good else 400)
        self.end_headers()

    def log_message(self, *args):
        pass


HTTPServer(("127.0.0.1", port), Handler).serve_forever()
