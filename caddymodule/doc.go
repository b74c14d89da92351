// Package caddymodule is a Caddy module that forwards to a backend only webhooks that
// ElevenLabs really sent. It tells the backend in request headers what they are.
//
// The package registers
//
//   - the handler [Handler], http.handlers.elevenlabs_webhook, with the
//     Caddyfile directive elevenlabs_webhook, which needs no order option;
//   - the matcher [MatchEvent], http.matchers.elevenlabs_event, with a CEL
//     function of the same name;
//   - the handler [Strip], http.handlers.elevenlabs_strip, with the directive
//     elevenlabs_strip, for sites with other routes to the same backend;
//   - the handler [Inspector], http.handlers.elevenlabs_inspector, with the directive
//     elevenlabs_inspector, which shows events on pages for a browser;
//   - the routes [Admin], admin.api.elevenlabs, which show on Caddy's admin
//     endpoint what became of each delivery;
//   - the app [App], elevenlabs, which delivers the events of inboxes. It needs no
//     configuration;
//   - metrics in Caddy's registry, with the prefixes caddy_elevenlabs_webhook_ and
//     caddy_elevenlabs_inbox_;
//   - the events elevenlabs_webhook_failing, elevenlabs_webhook_recovered,
//     elevenlabs_webhook_rejected, elevenlabs_inbox_dead,
//     elevenlabs_inbox_backend_down and elevenlabs_inbox_backend_up for Caddy's
//     events app.
//
// This site verifies the webhooks of ElevenLabs and forwards them to an application
// on port 3000:
//
//	hooks.example.com {
//		handle /webhooks/elevenlabs {
//			elevenlabs_webhook {
//				secret {env.ELEVENLABS_WEBHOOK_SECRET}
//				reverse_proxy localhost:3000
//			}
//		}
//		handle {
//			respond 404
//		}
//	}
//
// The handler does the following with a request:
//
//  1. It deletes the headers that only this module may set.
//  2. It checks the method, TLS, the source address and the signature header. Nothing
//     of the body is read yet.
//  3. It reads the body once, into memory or a temporary file, and computes the
//     signature while the body passes.
//  4. It compares the signature, then the time of signing.
//  5. It forwards the same bytes, and turns a 2xx of the backend into a 200. If the
//     option sign is set, it signs each attempt for the backend. With an
//     [Inbox], it stores the event instead, and answers 200. The [App] delivers it
//     later, at least once. An event that cannot be stored is forwarded at once.
//
// The handler rejects a request with one of these answers:
//
//	405  method_not_allowed
//	403  insecure_transport, source_not_allowed, timestamp_stale, timestamp_future
//	425  early_data
//	400  signature_missing, signature_malformed, body_incomplete
//	401  signature_mismatch
//	413  body_too_large
//	408  body_timeout
//	503  overloaded, spool_failed
//
// ElevenLabs retries only transcripts, and only after 408, 429 and 5xx. So a request
// that is proven bad gets another 4xx, and every fault on this side a 5xx.
//
// The signature scheme alone, without Caddy, is in package
// [github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature].
//
// The sources for what ElevenLabs does are its documentation
// (https://elevenlabs.io/docs/eleven-api/resources/webhooks) and its official SDKs.
// Where a limit or a default rests on a guess, its comment says so.
package caddymodule
