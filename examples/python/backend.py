"""An application that takes ElevenLabs events from Caddy.

It must listen on 127.0.0.1. The X-ElevenLabs-* headers can be trusted only
because nobody except Caddy reaches the application.
"""

import hashlib
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Webhook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keep connections open

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # Caddy broke off, so this is not the whole event
            self.close_connection = True
            return
        event = {
            "event_type": self.headers["X-ElevenLabs-Event-Type"],
            "event_id": self.headers["X-ElevenLabs-Event-Id"],
            "conversation_id": self.headers["X-ElevenLabs-Conversation-Id"],
            "agent_id": self.headers["X-ElevenLabs-Agent-Id"],
            "secret_name": self.headers["X-ElevenLabs-Secret-Name"],
            "verified": self.headers["X-ElevenLabs-Verified"],
            "bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }

        # Your work goes here. ElevenLabs may send the same event twice: store
        # event_id under a unique index, and do nothing if it is there already.
        # Store or queue the body, answer, and then work on json.loads(body).
        print(event["event_type"], event["event_id"], len(body), "bytes", flush=True)

        answer = json.dumps(event).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass  # Caddy can write the access log


if __name__ == "__main__":
    address = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "3000"))
    ThreadingHTTPServer(address, Webhook).serve_forever()
