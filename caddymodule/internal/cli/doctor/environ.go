package doctor

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// proc is the folder of Linux that shows the processes, except in tests.
var proc = "/proc"

// printsEnvironment returns the id of a process of Caddy that runs a configuration and
// was started with --environ, or an empty string. It finds none where processes cannot
// be seen.
func printsEnvironment(configFile string) (pid string) {
	config, err := os.Stat(configFile)
	if err != nil {
		return ""
	}
	entries, _ := os.ReadDir(proc)
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		dir := filepath.Join(proc, entry.Name())
		text, _ := os.ReadFile(filepath.Join(dir, "cmdline")) //nolint:gosec // the process may have ended
		args := strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
		if len(args) < 2 || args[1] != "run" {
			continue
		}
		flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
		flags.ParseErrorsAllowlist.UnknownFlags = true
		environ := flags.BoolP("environ", "e", false, "")
		file := flags.StringP("config", "c", "Caddyfile", "")
		if flags.Parse(args[2:]) != nil || !*environ {
			continue
		}
		if !filepath.IsAbs(*file) {
			*file = filepath.Join(dir, "cwd", *file)
		}
		if its, err := os.Stat(*file); err == nil && os.SameFile(its, config) {
			return entry.Name()
		}
	}
	return ""
}
