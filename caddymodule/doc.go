// Package caddymodule is a Caddy module that lets nothing through to a backend
// but webhooks that ElevenLabs really sent, and tells the backend, in request
// headers, what they are.
//
// It registers
//
//   - the handler [Handler], http.handlers.elevenlabs_webhook, with the
//     Caddyfile directive elevenlabs_webhook, which needs no order option;
//   - the matcher [MatchEvent], http.matchers.elevenlabs_event, with a CEL
//     function of the same name;
//   - the routes [Admin], admin.api.elevenlabs, which show on Caddy's admin
//     endpoint what became of each delivery;
//   - metrics in Caddy's registry, with the prefix caddy_elevenlabs_webhook_;
//   - the events elevenlabs_webhook_failing, elevenlabs_webhook_recovered and
//     elevenlabs_webhook_rejected for Caddy's events app.
//
// A site that verifies ElevenLabs' webhooks and hands them to an application on
// port 3000:
//
//	hooks.example.com {
//		handle /webhooks/elevenlabs {
//			elevenlabs_webhook {
//				secret {env.ELEVENLABS_WEBHOOK_SECRET}
//				reverse_proxy localhost:3000
//			}
//		}
//	}
//
// The way of a request: headers that only this module may set are deleted;
// method, TLS, source address and the signature header's form are checked with
// nothing read; the body is taken in once, into memory or a temporary file, and
// hashed as it passes; then the signature is compared, then its time; what holds
// goes on with the same bytes, and a 2xx of the backend becomes a 200.
//
// What is refused is answered
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
// ElevenLabs repeats what was answered 408, 429 or 5xx, if at all, and nothing
// but transcripts. So a 4xx is for what is proven bad, and every fault on this
// side is a 5xx.
//
// The signature scheme by itself, without Caddy, is package
// [github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature].
//
// What ElevenLabs does is known from its documentation
// (https://elevenlabs.io/docs/eleven-api/resources/webhooks) and from its
// official SDKs; where a limit or default rests on a guess, its comment says so.
package caddymodule
