package caddymodule

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/cli/cmdutil"
)

func TestInspectFindsOtherWaysToTheApplication(t *testing.T) {
	const (
		app   = "reverse_proxy localhost:3000\n"
		gate  = "handle /hooks/x {\nelevenlabs_webhook $\n}\n"
		star  = "handle /hooks/x* {\nelevenlabs_webhook $\n}\n"
		strip = "elevenlabs_strip\n"
		rest  = "handle {\n" + app + "}\n"
	)
	site := func(body string) string { return "a.test {\n" + body + "}\n" }
	bypass := func(path string) cmdutil.ConfigBypass {
		return cmdutil.ConfigBypass{Host: "a.test", Path: path, Upstream: "localhost:3000"}
	}
	with := func(b cmdutil.ConfigBypass, change func(*cmdutil.ConfigBypass)) []cmdutil.ConfigBypass {
		change(&b)
		return []cmdutil.ConfigBypass{b}
	}
	stripped := func(b *cmdutil.ConfigBypass) { b.Stripped = true }
	on := func(host string) func(*cmdutil.ConfigBypass) {
		return func(b *cmdutil.ConfigBypass) { b.Host, b.OtherSite = host, true }
	}
	none := func(*cmdutil.ConfigBypass) {}
	destinations := func(proxy string) string {
		return "elevenlabs_webhook {\nsecret {env.TEST_SECRET}\ninbox {\ndestination crm {\nreverse_proxy localhost:4000\n}\ndestination archive {\n" + proxy + "\n}\n}\n}\n"
	}
	for _, test := range []struct {
		name, text string
		want       []cmdutil.ConfigBypass
	}{
		{"only the webhook", site(gate), nil},
		{"nothing else", site(gate + "handle {\nrespond 404\n}\n"), nil},
		{"another application", site(gate + "handle {\nreverse_proxy localhost:4000\n}\n"), nil},
		{"the recipe", site(strip + star + rest), nil},
		{"without the star", site(strip + gate + rest), with(bypass("/hooks/x/"), stripped)},
		{"without elevenlabs_strip", site(star + rest), with(bypass(""), none)},
		{"without both", site(gate + rest), with(bypass("/hooks/x/"), none)},
		{"without handle", site("elevenlabs_webhook /hooks/x $\n" + app), with(bypass("/hooks/x/"), none)},
		{"in a route", site("route {\nelevenlabs_webhook /hooks/x $\n" + app + "}\n"), with(bypass("/hooks/x/"), none)},
		{"behind the handler", site("handle /hooks/x {\nelevenlabs_webhook {\nsecret {env.TEST_SECRET}\n}\n@e elevenlabs_event post_call_audio\n" + "reverse_proxy @e localhost:3001\n" + app + "}\n"), nil},
		{"a named route", "&(app) {\n" + app + "}\n" + site(gate+"handle {\ninvoke app\n}\n"), with(bypass("/hooks/x/"), none)},
		{"another name of this machine", site(gate + "handle {\nreverse_proxy 127.0.0.1:3000\n}\n"), with(bypass("/hooks/x/"), func(b *cmdutil.ConfigBypass) { b.Upstream = "127.0.0.1:3000" })},
		{"other pages only", site(gate + "handle /api/* {\n" + app + "}\n"), nil},
		{"other pages whose prefix is stripped", site(strip + star + "handle_path /api/* {\n" + app + "}\n"), with(bypass("/api/hooks/x"), stripped)},
		{"a path that is rewritten", site(strip + "handle /hooks/x* {\nelevenlabs_webhook {\nsecret {env.TEST_SECRET}\n}\nrewrite * /internal\n" + app + "}\n" + rest), with(bypass("/internal"), stripped)},
		{"except the webhook's path", site(gate + "@site not path /hooks/x*\nreverse_proxy @site localhost:3000\n"), with(bypass(""), none)},
		{"for GET only", site(gate + "@get method GET\nhandle @get {\n" + app + "}\n"), nil},
		{"behind a password", site(gate + "handle {\nbasic_auth {\nx JDJhJDE0JFpreDE5WExpVzZWWW91TEhSNU5tZk9GVTB6MkdUTm1wa1QvNXFxUjdoeDRJaldKUERoanZH\n}\n" + app + "}\n"), nil},
		{"from some addresses only", site(gate + "@office client_ip private_ranges\nhandle @office {\n" + app + "}\n"), nil},
		{"by a header", site(gate + "@h header X y\nhandle @h {\n" + app + "}\n"), with(bypass("/hooks/x/"), none)},
		{"forward_auth", site(gate + "handle {\nforward_auth localhost:3000 {\nuri /auth\n}\nrespond 200\n}\n"), nil},
		{"another site", site(gate) + "b.test {\n" + app + "}\n", with(bypass("/hooks/x"), on("b.test"))},
		{"another site that strips", site(gate) + "*.b.test {\n" + strip + app + "}\n", with(bypass("/hooks/x"), func(b *cmdutil.ConfigBypass) { on("any.b.test")(b); stripped(b) })},
		{"plain HTTP", site(gate) + "http://a.test {\n" + app + "}\n", with(bypass("/hooks/x"), on("a.test"))},
		{"another port, for any host", site(gate) + ":8080 {\n" + app + "}\n", with(bypass("/hooks/x"), on(""))},
		{"an error route", site(gate + "handle {\nrespond 404\n}\nhandle_errors {\n" + app + "}\n"), with(bypass(""), func(b *cmdutil.ConfigBypass) { b.Error = true })},
		{"an error route behind elevenlabs_strip", site(strip + gate + "handle {\nrespond 404\n}\nhandle_errors {\n" + app + "}\n"), nil},
		{"an error route for pages", site(gate + "handle {\nrespond 404\n}\nhandle_errors {\nreverse_proxy localhost:3000 {\nmethod GET\n}\n}\n"), nil},
		{"the application of a destination", site("handle /hooks/x {\n" + destinations("reverse_proxy localhost:3000") + "}\n" + rest), with(bypass("/hooks/x/"), none)},
		{"no application of a destination", site("handle /hooks/x {\n" + destinations("reverse_proxy localhost:3001") + "}\n" + rest), nil},
		{
			"a path that a destination rewrites", site(strip + "handle /hooks/x* {\n" + destinations("reverse_proxy localhost:3000 {\nrewrite /internal\n}") + "}\n" + rest),
			with(bypass("/internal"), stripped),
		},
		{"a fallback", site(gate + "handle {\nreverse_proxy localhost:4000 {\n@gone status 404\nhandle_response @gone {\n" + app + "}\n}\n}\n"), with(bypass("/hooks/x/"), none)},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := inspectText(t, test.text)
			require.NoError(t, config.Problem)
			require.Len(t, config.Handlers, 1)
			assert.Equal(t, test.want, config.Handlers[0].Bypasses)
		})
	}
}

func TestInspectFindsTheLimitOfBodies(t *testing.T) {
	limit := func(matcher, size string) string { return "request_body " + matcher + " {\nmax_size " + size + "\n}\n" }
	const gate = "handle /hook {\nelevenlabs_webhook $\n}\n"
	for _, test := range []struct {
		name, site string
		want       int64
	}{
		{"none", gate, 0},
		{"of the site", limit("", "10MB") + gate, 10_000_000},
		{"of another path", limit("/upload/*", "10MB") + gate, 0},
		{"of the webhook's path", limit("/hook", "1MB") + limit("/upload", "2MB") + gate, 1_000_000},
		{"two", limit("", "10MB") + "handle /hook {\n" + limit("", "2MB") + "elevenlabs_webhook $\n}\n", 2_000_000},
		{"perhaps", "@big header X y\n" + limit("@big", "10MB") + gate, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := inspectText(t, "a.test {\n"+test.site+"}\n")
			require.NoError(t, config.Problem)
			require.Len(t, config.Handlers, 1)
			assert.Equal(t, test.want, config.Handlers[0].BodyLimit)
			assert.Equal(t, int64(100<<20), config.Handlers[0].MaxSize)
		})
	}
}
