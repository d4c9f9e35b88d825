#!/usr/bin/env python3
"""An external service in 35 lines, standard library only: external_service.py whsec_… [PORT]"""
import base64, hashlib, hmac, json, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

SEEN = set()  # an event may come more than once

def is_signed(headers, body):
    sent = headers.get("webhook-timestamp", "")
    in_time = sent.isdigit() and abs(time.time() - int(sent)) <= 300
    signed = f"{headers.get('webhook-id')}.{sent}.".encode() + body
    ours = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    theirs = headers.get("webhook-signature", "").split()
    return in_time and any(hmac.compare_digest(one.encode(), f"v1,{ours}".encode()) for one in theirs)

class Service(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        ok = self.path == "/events" and is_signed(self.headers, body)
        if ok and self.headers["webhook-id"] not in SEEN:
            SEEN.add(self.headers["webhook-id"])
            event = json.loads(body)
            print(event["id"], event["eventKey"], json.dumps(event["payload"]), flush=True)
        self.send_response(204 if ok else 401)
        self.end_headers()

try:
    SECRET = base64.b64decode(sys.argv[1].removeprefix("whsec_"), validate=True)
    PORT = range(65536).index(int(sys.argv[2])) if len(sys.argv) > 2 else 9000
except (IndexError, ValueError):
    print("usage: external_service.py whsec_… [PORT]", file=sys.stderr)
    sys.exit(2)
server = HTTPServer(("127.0.0.1", PORT), Service)
print(f"Receiving events at http://127.0.0.1:{server.server_port}/events", flush=True)
server.serve_forever()
