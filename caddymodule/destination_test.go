package caddymodule

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

func TestBadDestinationsNameTheLineAndTheOption(t *testing.T) {
	const crm = "destination crm {\nreverse_proxy a:1\n}\n"
	for _, test := range []struct {
		name, options string
		line          string
		err           string
	}{
		{"no reverse_proxy", "inbox {\ndestination crm\n}", "5", "inbox: destination crm: it needs a reverse_proxy"},
		{"no name", "inbox {\ndestination {\nreverse_proxy a:1\n}\n}", "6", "argument count"},
		{"bad name", "inbox {\ndestination CRM {\nreverse_proxy a:1\n}\n}", "6", `inbox destination: the name "CRM" must be 1 to 64 of a to z`},
		{"twice", "inbox {\n" + crm + crm + "}", "9", "inbox destination: crm is set twice"},
		{"an option twice", "inbox {\ndestination crm {\nevents a\nevents b\nreverse_proxy a:1\n}\n}", "8", "inbox destination events is set twice"},
		{"reverse_proxy twice", "inbox {\ndestination crm {\nreverse_proxy a:1\nreverse_proxy b:1\n}\n}", "8", "inbox destination reverse_proxy is set twice"},
		{"reverse_proxy with a matcher", "inbox {\ndestination crm {\nreverse_proxy /a a:1\n}\n}", "7", `put "/a" after the name of the destination`},
		{"unknown option", "inbox {\ndestination crm {\nlimit 1GiB\n}\n}", "7", `unrecognized subdirective "inbox destination limit"`},
		{"concurrency in the first of two", "inbox {\ndestination a {\nconcurrency 1001\nreverse_proxy a:1\n}\ndestination b {\nconcurrency 1\nreverse_proxy a:1\n}\n}", "7", "inbox destination concurrency: the count must be from 1 to 1000"},
		{"a placeholder as an agent", "inbox {\ndestination crm {\nagents agent_1 {env.AGENT}\nreverse_proxy a:1\n}\n}", "7", `inbox destination agents: no event has "{env.AGENT}"`},
		{"a placeholder as a type", "inbox {\ndestination crm {\nevents {env.TYPE}\nreverse_proxy a:1\n}\n}", "7", `inbox destination events: no event has "{env.TYPE}"`},
		{"timeout zero", "inbox {\ndestination crm {\ntimeout 0s\n}\n}", "7", "inbox destination timeout: must be greater than zero"},
		{"a pause of zero", "inbox {\ndestination crm {\nretry 0s\n}\n}", "7", "inbox destination retry: must be greater than zero"},
		{"an empty key", "inbox {\ndestination crm {\nsign \"\"\n}\n}", "7", "inbox destination sign: it is empty"},
		{"an unknown matcher", "inbox {\ndestination crm @none {\nreverse_proxy a:1\n}\n}", "6", "unrecognized matcher name: @none"},
		{"no matcher", "inbox {\ndestination crm sales {\nreverse_proxy a:1\n}\n}", "6", `destination: "sales" is no matcher: write @name, /path or *`},
		{"three arguments", "inbox {\ndestination crm * b {\nreverse_proxy a:1\n}\n}", "6", "argument count"},
		{"a reverse_proxy outside", "inbox {\n" + crm + "}\nreverse_proxy b:1", "5", "inbox: each destination has a reverse_proxy of its own"},
		{"report_only", "report_only\ninbox {\n" + crm + "}", "7", "inbox destination: report_only needs one backend to forward to: remove it, or the destinations of the inbox"},
		{"report_only after it", "inbox {\n" + crm + "}\nreport_only", "6", "inbox destination: report_only needs one backend"},
		{"sign outside", "inbox {\n" + crm + "}\nsign {env.TEST_SIGN_KEY}", "6", "inbox destination: each destination signs by itself"},
		{"without an inbox", "destination crm {\nreverse_proxy a:1\n}", "5", `unrecognized subdirective "destination": it belongs into inbox, which keeps an event until each destination has it`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := adapt(":80 {\n\troute {\n\t\televenlabs_webhook {\nsecret {env.TEST_SECRET}\n" + test.options + "\n}\n}\n}\n")
			require.ErrorContains(t, err, test.err)
			assert.Contains(t, err.Error(), "Caddyfile:"+test.line)
		})
	}
	err := new(Handler).UnmarshalCaddyfile(caddyfile.NewTestDispenser("elevenlabs_webhook {\nsecret {env.TEST_SECRET}\ninbox {\ndestination crm /a {\nreverse_proxy a:1\n}\n}\n}"))
	require.ErrorContains(t, err, "destination: only a site can have a matcher")
}

func TestADestinationDeliversAsTheInboxUnlessItSaysOtherwise(t *testing.T) {
	h := &Handler{Inbox: &Inbox{
		InboxDelivery: InboxDelivery{Concurrency: 3},
		Destinations:  []*Destination{{Name: "a"}, {Name: "b", InboxDelivery: InboxDelivery{Concurrency: 7, Retry: []caddy.Duration{5}}}},
	}}
	h.setDefaults()
	a, b := h.Inbox.Destinations[0], h.Inbox.Destinations[1]
	assert.Equal(t, 3, a.Concurrency)
	assert.Equal(t, defaultDelivery.Timeout, a.Timeout)
	assert.Equal(t, defaultDelivery.Retry, a.Retry)
	assert.Equal(t, 7, b.Concurrency)
	assert.Equal(t, []caddy.Duration{5}, b.Retry)
	assert.Equal(t, defaultDelivery.GiveUp, b.GiveUp)
}

func TestHandlersOfOneInboxMustHaveTheSameDestinations(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.db")
	with := func(destinations string) string { return "inbox {\ndatabase " + file + "\n" + destinations + "}" }
	const crm, archive = "destination crm {\nreverse_proxy a:1\n}\n", "destination archive {\nreverse_proxy a:2\n}\n"
	for _, test := range []struct {
		name, first, second string
		same                bool
	}{
		{"equal", crm + archive, crm + archive, true},
		{"another choice", crm, "destination crm {\nevents audio\nagents a\nreverse_proxy a:1\n}\n", true},
		{"one less", crm + archive, crm, false},
		{"another order", crm + archive, archive + crm, false},
		{"another backend", crm, "destination crm {\nreverse_proxy a:9\n}\n", false},
		{"other pauses", crm, "destination crm {\nretry 1s\nreverse_proxy a:1\n}\n", false},
		{"another key", crm, "destination crm {\nsign {env.TEST_SIGN_KEY}\nreverse_proxy a:1\n}\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := caddy.Validate(withInbox(t, with(test.first), with(test.second)))
			if test.same {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, `two handlers deliver the inbox "default" differently`)
			}
			assert.NoFileExists(t, file)
			assert.Empty(t, allDatabases())
		})
	}
}

func TestADestinationTakesWhatItsTypesAgentsAndMatcherAllow(t *testing.T) {
	failing := matcherFunc(func() (bool, error) { return false, caddyhttp.Error(500, assert.AnError) })
	never := matcherFunc(func() (bool, error) { return false, nil })
	always := matcherFunc(func() (bool, error) { return true, nil })
	for _, test := range []struct {
		name string
		d    destination
		want bool
	}{
		{"all", destination{}, true},
		{"its type", destination{eventTypes: []string{"post_call_audio"}}, true},
		{"another type", destination{eventTypes: []string{"post_call_transcription"}}, false},
		{"its agent", destination{agents: []string{"x", "agent_1"}}, true},
		{"another agent", destination{agents: []string{"x"}}, false},
		{"a matcher", destination{matchers: caddyhttp.MatcherSets{{always}}}, true},
		{"a matcher that is false", destination{matchers: caddyhttp.MatcherSets{{never}}}, false},
		{"one of two sets", destination{matchers: caddyhttp.MatcherSets{{never}, {always}}}, true},
		{"a matcher that fails loses no event", destination{matchers: caddyhttp.MatcherSets{{failing}}}, true},
		{"a matcher and another type", destination{matchers: caddyhttp.MatcherSets{{always}}, eventTypes: []string{"x"}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.d.Handler, test.d.queue = &Handler{logger: zap.NewNop()}, &inboxQueue{Queue: inbox.Queue{Inbox: "default", Destination: "crm"}}
			e := new(event)
			e.EventType, e.AgentID = "post_call_audio", "agent_1"
			assert.Equal(t, test.want, test.d.wants(newRequest(""), e))
		})
	}
}

type matcherFunc func() (bool, error)

func (m matcherFunc) MatchWithError(*http.Request) (bool, error) { return m() }

func TestTheAdminEndpointShowsDestinationsWithoutTheirSecrets(t *testing.T) {
	text, err := adapt("a.test {\n@sales vars a b\nelevenlabs_webhook {\nsecret {env.TEST_SECRET}\ninbox {\ndatabase /x.db\n" +
		"destination crm @sales {\nevents audio\nagents x\nsign whsec_hidden\nretry 5s\nreverse_proxy https://user:hidden@a\n}\n}\n}\n}\n")
	require.NoError(t, err)
	i := strings.Index(text, `"handler": "elevenlabs_webhook"`)
	require.Positive(t, i)
	var h Handler
	require.NoError(t, json.NewDecoder(strings.NewReader(text[strings.LastIndex(text[:i], "{"):])).Decode(&h))
	h.setDefaults()
	shown, err := json.Marshal(h.shown()["inbox"])
	require.NoError(t, err)
	assert.NotContains(t, string(shown), "hidden")
	assert.Contains(t, string(shown), `"destinations":[{"agents":["x"],"concurrency":16,"events":["audio"],"give_up":"72h0m0s","match":[{"vars":{"a":["b"]}}],"name":"crm","retry":["5s"],"sign":[""],"timeout":"1m0s"}]`)
}
