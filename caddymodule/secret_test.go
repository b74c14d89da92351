package caddymodule

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestSecretsAreResolvedWithAWarningIfTheyLookWrong(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return "{file." + path + "}"
	}
	t.Setenv("GOOD", "wsec_hidden")
	t.Setenv("PADDED", " wsec_hidden\r\n")
	t.Setenv("BARE", "hidden")
	t.Setenv("BLANK", " \t\n")
	t.Setenv("EMPTY", "")
	t.Setenv("BRACES", "wsec_{env.GOOD}")

	const literal, trimmed, prefix = "written out", "were removed", "does not begin"
	tests := []struct {
		name, value, key string
		warnings         []string
		err              string
	}{
		{"variable", "{env.GOOD}", "wsec_hidden", nil, ""},
		{"variable with blanks", "{env.PADDED}", "wsec_hidden", []string{trimmed}, ""},
		{"variable without prefix", "{env.BARE}", "hidden", []string{prefix}, ""},
		{"variable with braces in it", "{env.BRACES}", "wsec_{env.GOOD}", nil, ""},
		{"file", file("good", "wsec_hidden"), "wsec_hidden", nil, ""},
		{"file with a line end", file("line", "wsec_hidden\n"), "wsec_hidden", nil, ""},
		{"file with blank lines", file("lines", "wsec_hidden\n\n"), "wsec_hidden", []string{trimmed}, ""},
		{"literal", "wsec_hidden", "wsec_hidden", []string{literal}, ""},
		{"literal without prefix", "hidden", "hidden", []string{literal, prefix}, ""},

		{"variable not set", "{env.NOT_SET_ANYWHERE}", "", nil, "{env.NOT_SET_ANYWHERE}"},
		{"variable empty", "{env.EMPTY}", "", nil, "{env.EMPTY}"},
		{"variable blank", "{env.BLANK}", "", nil, "{env.BLANK}"},
		{"file missing", "{file." + dir + "/missing}", "", nil, "the file " + dir + "/missing does not exist"},
		{"file empty", file("empty", ""), "", nil, "/empty is empty"},
		{"file a directory", "{file." + dir + "}", "", nil, dir + " is a directory"},
		{"file below a file", file("good", "wsec_hidden")[:len("{file."+dir+"/good")] + "/below}", "", nil, "not a directory"},
		{"file of two lines", file("two", "wsec_hidden\nwsec_other"), "", nil, "more than one line"},
		{"the documentation's placeholder", "wsec_…", "", []string{literal}, "stands for a secret"},
		{"the same in a file", file("dots", "wsec_...\n"), "", nil, "stands for a secret"},
		{"nothing but the prefix", "wsec_", "", []string{literal}, "stands for a secret"},
		{"the secret for a file's name", "{file.wsec_hidden}", "", nil, "write {env.NAME}"},
		{"file blank", file("blank", " \n \n"), "", nil, "/blank}"},
		{"unknown placeholder", "{secret.GOOD}", "", nil, "{secret.GOOD}"},
		{"placeholder of a request", "{http.request.header.X-Key}", "", nil, "{http.request.header.X-Key}"},
		{"the secret for a variable's name", "{env.wsec_hidden}", "", nil, "write {env.NAME}"},
		{"the secret in braces", "{wsec_hidden}", "", nil, "write {env.NAME}"},
		{"the secret beside a variable", "{env.NOT_SET_ANYWHERE}wsec_hidden", "", nil, "write {env.NAME}"},
		{"literal blank", "  ", "", []string{literal}, "blank"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			core, logs := observer.New(zapcore.DebugLevel)
			keys, err := resolveSecrets([]Secret{{Value: test.value}}, zap.New(core))
			var said string
			for _, entry := range logs.All() {
				said += entry.Message
				assert.Equal(t, zapcore.WarnLevel, entry.Level)
			}
			assert.Equal(t, len(test.warnings), logs.Len(), said)
			for _, warning := range test.warnings {
				assert.Contains(t, said, warning)
			}
			assert.NotContains(t, said, "hidden")
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				require.ErrorContains(t, err, "secret 1")
				assert.NotContains(t, err.Error(), "hidden")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.key, string(keys[0]))
		})
	}
}

func TestResolvedSecretsStayOutOfTheConfiguration(t *testing.T) {
	h, _ := provision(t, &Handler{})
	dump, err := json.Marshal(h)
	require.NoError(t, err)
	assert.Contains(t, string(dump), "{env.TEST_SECRET}")
	assert.NotContains(t, string(dump), testSecret)
}

func TestNoSecretIsAStartUpError(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	require.ErrorIs(t, new(Handler).Provision(ctx), errNoSecret)
}
