-- An event that was received, for one of the inbox's destinations. All times are Unix milliseconds by the database's clock.
CREATE TABLE elevenlabs_inbox_event (
	seq             BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	inbox           TEXT    NOT NULL,           -- its name
	destination     TEXT    NOT NULL,           -- one of the inbox's; empty if it has only one
	event_id        TEXT    COLLATE "C" NOT NULL, -- SHA-256 of the body, in hex
	type            TEXT    NOT NULL,           -- empty if it cannot be read, as the next three
	conversation_id TEXT    NOT NULL,
	agent_id        TEXT    NOT NULL,
	request_id      TEXT    NOT NULL,
	webhook         TEXT    NOT NULL,           -- the name of the secret that signed it
	fields          TEXT    NOT NULL,           -- JSON: what else is known of the event
	request         TEXT    NOT NULL,           -- JSON: the request without its body
	size            BIGINT  NOT NULL,           -- of the body
	stored          BIGINT  NOT NULL DEFAULT 0, -- bytes of the body that are there
	body            BIGINT  NOT NULL DEFAULT 0, -- seq of the event whose chunks have the body; 0: its own
	sharers         BIGINT  NOT NULL DEFAULT 0, -- how many other events need its chunks
	state           TEXT    NOT NULL,           -- receiving, waiting, delivering, delivered, dead, discarded
	attempts        BIGINT  NOT NULL DEFAULT 0, -- all of them; also the fence of a claim
	tries           BIGINT  NOT NULL DEFAULT 0, -- since it was armed; chooses the pause
	armed_at        BIGINT  NOT NULL,           -- when it was received or sent again
	repeats         BIGINT  NOT NULL DEFAULT 0, -- how often ElevenLabs sent it again
	received_at     BIGINT  NOT NULL,
	next_at         BIGINT  NOT NULL,           -- of the next attempt
	done_at         BIGINT  NOT NULL DEFAULT 0, -- delivered, dead or discarded; while receiving: to be removed
	owner           TEXT    NOT NULL DEFAULT '',
	lease_until     BIGINT  NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX elevenlabs_inbox_identity ON elevenlabs_inbox_event (inbox, event_id, destination) WHERE state <> 'receiving';
CREATE INDEX elevenlabs_inbox_receiving    ON elevenlabs_inbox_event (done_at) WHERE state = 'receiving';
CREATE INDEX elevenlabs_inbox_due          ON elevenlabs_inbox_event (inbox, destination, next_at, seq) WHERE state = 'waiting';
CREATE INDEX elevenlabs_inbox_leased       ON elevenlabs_inbox_event (lease_until) WHERE state = 'delivering';
CREATE INDEX elevenlabs_inbox_finished     ON elevenlabs_inbox_event (inbox, done_at) WHERE state IN ('delivered', 'discarded') AND stored > 0 AND sharers = 0;
CREATE INDEX elevenlabs_inbox_remembered   ON elevenlabs_inbox_event (inbox, done_at) WHERE state IN ('delivered', 'discarded') AND stored = 0;
CREATE INDEX elevenlabs_inbox_dead         ON elevenlabs_inbox_event (inbox, done_at) WHERE state = 'dead' AND sharers = 0;
CREATE INDEX elevenlabs_inbox_list         ON elevenlabs_inbox_event (inbox, destination, state, type, received_at, seq) INCLUDE (armed_at, done_at, size, stored, body, attempts, repeats);
CREATE INDEX elevenlabs_inbox_agent        ON elevenlabs_inbox_event (agent_id, state, received_at, seq) WHERE agent_id <> '';
CREATE INDEX elevenlabs_inbox_conversation ON elevenlabs_inbox_event (conversation_id) WHERE conversation_id <> '';
CREATE INDEX elevenlabs_inbox_webhook      ON elevenlabs_inbox_event (webhook, received_at);
CREATE INDEX elevenlabs_inbox_request      ON elevenlabs_inbox_event (request_id) WHERE request_id <> '';

-- A piece of a body, at most 1 MiB. n counts from 0.
CREATE TABLE elevenlabs_inbox_chunk (
	seq  BIGINT  NOT NULL REFERENCES elevenlabs_inbox_event (seq) ON DELETE CASCADE,
	n    BIGINT  NOT NULL,
	data BYTEA   NOT NULL,
	PRIMARY KEY (seq, n)
);
ALTER TABLE elevenlabs_inbox_chunk ALTER COLUMN data SET STORAGE EXTERNAL;

-- An attempt to deliver an event. n counts from 1.
CREATE TABLE elevenlabs_inbox_attempt (
	seq          BIGINT  NOT NULL REFERENCES elevenlabs_inbox_event (seq) ON DELETE CASCADE,
	n            BIGINT  NOT NULL,
	ended_at     BIGINT  NOT NULL,
	milliseconds BIGINT  NOT NULL,
	status       BIGINT  NOT NULL, -- of the backend's answer; 0 without an answer
	reason       TEXT    NOT NULL, -- why it failed; empty if the backend took the event
	answer       TEXT    NOT NULL, -- the first KiB of the backend's answer, if it failed
	PRIMARY KEY (seq, n)
);

-- The version of these tables, in one row.
CREATE TABLE elevenlabs_inbox_version (
	version BIGINT NOT NULL
);
INSERT INTO elevenlabs_inbox_version (version) VALUES (1);
