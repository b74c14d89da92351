"""A FastAPI application that takes ElevenLabs events from Caddy.

It must listen on 127.0.0.1. The X-ElevenLabs-* headers can be trusted only
because nobody except Caddy reaches the application.
"""

import hashlib
import os
import sqlite3
from contextlib import closing
from typing import Optional

from fastapi import BackgroundTasks, Depends, FastAPI, Header, Request

DATABASE = os.environ.get("DATABASE", "events.db")


def connect():
    return closing(sqlite3.connect(DATABASE, isolation_level=None))  # every statement commits


with connect() as database:
    database.execute("CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, type TEXT, body BLOB)")

app = FastAPI()


async def raw_body(request: Request) -> bytes:
    return await request.body()


@app.post("/webhooks/elevenlabs")
def webhook(  # not async: SQLite blocks, so FastAPI runs this function in a thread
    tasks: BackgroundTasks,
    body: bytes = Depends(raw_body),
    x_elevenlabs_event_id: str = Header(),
    x_elevenlabs_event_type: Optional[str] = Header(None),
    x_elevenlabs_conversation_id: Optional[str] = Header(None),
    x_elevenlabs_agent_id: Optional[str] = Header(None),
    x_elevenlabs_secret_name: Optional[str] = Header(None),
    x_elevenlabs_verified: Optional[str] = Header(None),
):
    # ElevenLabs may send the same event twice. The primary key keeps the first
    # one, and the application works on it only once.
    event = (x_elevenlabs_event_id, x_elevenlabs_event_type, body)
    with connect() as database:
        new = database.execute("INSERT OR IGNORE INTO events VALUES (?, ?, ?)", event).rowcount == 1
    if new:
        tasks.add_task(work, x_elevenlabs_event_id)

    return {
        "event_type": x_elevenlabs_event_type,
        "event_id": x_elevenlabs_event_id,
        "conversation_id": x_elevenlabs_conversation_id,
        "agent_id": x_elevenlabs_agent_id,
        "secret_name": x_elevenlabs_secret_name,
        "verified": x_elevenlabs_verified,
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


def work(event_id: str):
    """Runs after the answer is sent. Your work goes here: json.loads(body)."""
    with connect() as database:
        event_type, body = database.execute("SELECT type, body FROM events WHERE id = ?", (event_id,)).fetchone()
    print(event_type, event_id, len(body), "bytes", flush=True)
