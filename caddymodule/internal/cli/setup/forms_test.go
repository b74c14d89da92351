package setup

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnAnswerIsTakenInItsFormOrRejectedWithoutBeingRepeated(t *testing.T) {
	const key = "sk_0123456789abcdef0123456789abcdef0123456789abcdef"
	forms := map[string]func(string) (string, error){"domain": domainForm, "backend": backendForm, "path": pathForm, "secret": secretForm, "API key": apiKeyForm, "inbox": yesForm, "agents": agentsForm}
	for _, test := range []struct{ form, answer, want, wrong string }{
		{"domain", " Hooks.Example.COM ", "hooks.example.com", ""},
		{"domain", "hooks.example.com:8443", "hooks.example.com:8443", ""},
		{"domain", "hooks.example.com:443", "hooks.example.com", ""},
		{"domain", "localhost", "localhost", ""},
		{"domain", "localhost:8443", "localhost:8443", ""},
		{"domain", "xn--mller-kva.de", "xn--mller-kva.de", ""},
		{"domain", "https://hooks.example.com", "", "without https://"},
		{"domain", "hooks.example.com/webhooks", "", "without a path"},
		{"domain", "203.0.113.7", "", "not an IP address"},
		{"domain", "203.0.113.7:443", "", "not an IP address"},
		{"domain", "[2001:db8::1]", "", "not an IP address"},
		{"domain", "hooks", "", "must be whole"},
		{"domain", "hooks.example.com:0", "", "port"},
		{"domain", "hooks.example.com:", "", "port"},
		{"domain", "hooks.example.com:65536", "", "port"},
		{"domain", "hooks.example.com:08443", "", "port"},
		{"domain", "hooks.example.com:80", "", "must not be 80"},
		{"domain", "203.0.113", "", "not an IP address"},
		{"domain", "*.example.com", "", "letters, digits"},
		{"domain", "hooks..example.com", "", "letters, digits"},
		{"domain", "-a.example.com", "", "letters, digits"},
		{"domain", "müller.de", "", "xn--"},
		{"domain", "a.com {", "", "letters, digits"},
		{"domain", "a.com, b.com", "", "letters, digits"},
		{"domain", "a.com\nb.com", "", "letters, digits"},
		{"domain", "", "", "letters, digits"},

		{"backend", "3000", "localhost:3000", ""},
		{"backend", " localhost:3000 ", "localhost:3000", ""},
		{"backend", "127.0.0.1:8000", "127.0.0.1:8000", ""},
		{"backend", "[::1]:8000", "[::1]:8000", ""},
		{"backend", "http://app_1:8000/", "http://app_1:8000", ""},
		{"backend", "https://app.internal", "https://app.internal", ""},
		{"backend", "unix//run/app.sock", "unix//run/app.sock", ""},
		{"backend", "localhost", "", "must have a port"},
		{"backend", "localhost:0", "", "from 1 to 65535"},
		{"backend", "99999", "", "from 1 to 65535"},
		{"backend", "localhost:03000", "", "from 1 to 65535"},
		{"backend", "http://localhost:80", "http://localhost:80", ""},
		{"backend", "https://localhost:80", "", "443 with https://"},
		{"backend", "http://localhost:443", "", "80 with http://"},
		{"backend", "http://localhost:3000/webhooks", "", "without a path"},
		{"backend", "localhost:3000 {", "", "must be like"},
		{"backend", "localhost:3000\nrespond", "", "must be like"},
		{"backend", "{env.APP}", "", "must be like"},

		{"path", "/webhooks/elevenlabs", "/webhooks/elevenlabs", ""},
		{"path", "/", "", "must be like"},
		{"path", "/a/", "", "must be like"},
		{"path", "a", "", "must be like"},
		{"path", "/a*", "", "must be like"},
		{"path", "/a/../b", "", "without . and .."},
		{"path", "/a/.", "", "without . and .."},
		{"path", "/.well-known/hook", "/.well-known/hook", ""},
		{"path", "/a b", "", "must be like"},
		{"path", "/{x}", "", "must be like"},

		{"secret", " wsec_00112233\n", "wsec_00112233", ""},
		{"secret", key, "", "begins with sk_: it is an API key"},
		{"secret", "00112233", "", "does not begin with wsec_"},
		{"secret", "whsec_00112233", "", "begins with whsec_"},
		{"secret", "wsec_…", "", "not plain ASCII"},
		{"secret", `"wsec_00112233"`, "", "quotes"},
		{"secret", "wsec_0011 2233", "", "blanks"},

		{"API key", " " + key + " ", key, ""},
		{"API key", "wsec_00112233", "", "signing secret"},
		{"API key", "", "", "give an API key"},

		{"inbox", "Y", "yes", ""},
		{"inbox", "no", "no", ""},
		{"inbox", "maybe", "", "yes or no"},

		{"agents", "none", "", ""},
		{"agents", "all", "all", ""},
		{"agents", "agent_1, agent_2", "agent_1,agent_2", ""},
		{"agents", "agent 1;", "", "ids of agents"},
	} {
		t.Run(test.form+" "+test.answer, func(t *testing.T) {
			got, err := forms[test.form](test.answer)
			if test.wrong == "" {
				require.NoError(t, err)
				assert.Equal(t, test.want, got)
				return
			}
			require.ErrorContains(t, err, test.wrong)
			if len(test.answer) > 12 {
				assert.NotContains(t, err.Error(), test.answer)
			}
		})
	}
}

func TestTheApplicationIsNotCaddyItself(t *testing.T) {
	for domain, test := range map[string]struct{ rejected, taken string }{
		"hooks.example.com":      {"https://Hooks.example.com hooks.example.com:443 hooks.example.com:80 localhost:443 127.0.0.1:80 [::1]:443 0.0.0.0:443 443", "hooks.example.com:3000 app.example.com:443 10.0.0.7:80 localhost:8443 unix//run/app.sock"},
		"hooks.example.com:8443": {"hooks.example.com:8443 localhost:8443 80", "localhost:443 hooks.example.com:443"},
		"localhost:8443":         {"localhost:8443 https://localhost:8443 127.0.0.1:8443", "localhost:443 80 10.0.0.7:8443"},
	} {
		l := layout{domain: domain}
		for backend := range strings.FieldsSeq(test.rejected) {
			_, err := l.backendForm(backend)
			assert.ErrorContains(t, err, "the address of Caddy itself", "%s behind %s", backend, domain)
		}
		for backend := range strings.FieldsSeq(test.taken) {
			_, err := l.backendForm(backend)
			assert.NoError(t, err, "%s behind %s", backend, domain)
		}
	}
}

func TestAnApplicationIsDialledWhereReverseProxyDials(t *testing.T) {
	for backend, want := range map[string]string{
		"localhost:3000": "tcp localhost:3000", "[::1]:3000": "tcp [::1]:3000", "http://app": "tcp app:80",
		"https://app": "tcp app:443", "https://app:8443": "tcp app:8443", "unix//run/app.sock": "unix /run/app.sock",
	} {
		network, address := dialTarget(backend)
		assert.Equal(t, want, network+" "+address)
	}
}
