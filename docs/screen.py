#!/usr/bin/env python3
"""A program that approves payments to the addresses of a list, and rejects all others: what an approver's webhook asks (POLICY.md).

screen.py PORT AUTHORITY NAME KEY ADDRESSES

It decodes each transaction itself, by `mpcd intent show`, and `mpcd approve` signs for what it decodes. It answers on 127.0.0.1 alone; put
a proxy with a certificate before it where nodes run elsewhere. KEY is an approver's key file, ADDRESSES has one address a line.
"""
import json, subprocess, sys, tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

port, authority, name, key, addresses = sys.argv[1:]
allowed = set(Path(addresses).read_text().split())


def mpcd(*args):
    return subprocess.run(["mpcd", *args], check=True, capture_output=True, text=True, timeout=4).stdout


def decide(op, dir):
    """The word on an operation, in a file: an approval, or a rejection."""
    payload = op["intent"]["payload"]  # KeyError: a digest, of which nobody can tell what it does
    (dir / "payload").write_text(payload["bytes"])
    what = json.loads(mpcd("intent", "show", "--chain", op["intent"]["chain"], "--format", payload["format"], "-o", "json",
                           "--public-key", op["key"]["group_key"], "--transaction", str(dir / "payload")))
    good = what["transfers"] and not what["calls"] and not what["unknown"] and all(t["to"] in allowed for t in what["transfers"])
    (dir / "operation").write_text(json.dumps(op))
    mpcd("approve", op["id"], "--file", str(dir / "operation"), "--authority", authority, "--approver", name, "--approver-key", key,
         "--yes", "--out", str(dir / "word"), *([] if good else ["--reject"]))
    return (dir / "word").read_bytes()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            op = json.loads(self.rfile.read(min(int(self.headers["Content-Length"]), 1 << 20)))
            with tempfile.TemporaryDirectory() as dir:
                status, word = 200, decide(op, Path(dir))
        except Exception as e:  # no word is no approval
            print(getattr(e, "stderr", None) or repr(e), file=sys.stderr)
            status, word = 500, b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(word)))
        self.end_headers()
        self.wfile.write(word)


ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
