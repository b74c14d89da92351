package caddymodule

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/dustin/go-humanize"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/facts"
)

const (
	defaultMaxSize = 100 << 20

	pauseFactor = 4  // each pause before a retry is this many times the last
	maxRetries  = 10 // the last pause of so many, from 100ms, is 7 hours
)

// option is an option of the directive.
type option struct {
	name string
	// args is the grammar of the arguments, such as "<count> [<pause>]".
	args string
	// repeats reports whether the option may stand more than once.
	repeats bool
	parse   func(h *Handler, args []string) error
	// setDefault replaces zero values by the default. It is nil if zero is the default.
	setDefault func(h *Handler)
	check      func(h *Handler) error // nil if every value is good
	// shown returns the value that the admin endpoint shows. An option without it
	// is not shown, since it may hold a credential, as reverse_proxy does.
	shown func(h *Handler) any
	// json is the name in JSON, if it is another.
	json string
	// block is the table of the options in the option's block; nil if it takes none.
	block []option
	// proxyOf returns where the reverse_proxy in the block belongs; nil if it takes none.
	proxyOf func(h *Handler) *json.RawMessage
	// match keeps the matcher that may be the second argument; nil if it takes none.
	match func(h *Handler, set caddy.ModuleMap)
}

// takes reports whether the option takes so many arguments.
func (o option) takes(count int) bool {
	least, most := 0, 0
	for arg := range strings.FieldsSeq(o.args) {
		most++
		if !strings.HasPrefix(arg, "[") {
			least++
		}
	}
	return count >= least && (count <= most || strings.HasSuffix(o.args, "..."))
}

// options is the table of the directive's options. Only reverse_proxy is not here: it
// has the syntax of Caddy's own directive.
var options = []option{
	{
		name: "secret", args: "<value> [<name>]", repeats: true, json: "secrets",
		parse: parseSecret,
		check: checkSecrets,
		shown: shownSecrets,
	},
	{
		name: "tolerance", args: "<past> [<future>]",
		parse: func(h *Handler, args []string) error {
			return errors.Join(parseDuration(args[0], &h.Tolerance.Past), parseDuration(second(args), &h.Tolerance.Future))
		},
		setDefault: func(h *Handler) {
			setDefault(&h.Tolerance.Past, caddy.Duration(facts.DefaultPast))
			setDefault(&h.Tolerance.Future, caddy.Duration(facts.DefaultFuture))
		},
		check: func(h *Handler) error { return notNegative(h.Tolerance.Past, h.Tolerance.Future) },
		shown: func(h *Handler) any {
			return map[string]any{"past": shownDuration(h.Tolerance.Past), "future": shownDuration(h.Tolerance.Future)}
		},
	},
	{
		name: "max_size", args: "<size>",
		parse:      func(h *Handler, args []string) error { return parseSize(args[0], &h.MaxSize) },
		setDefault: func(h *Handler) { setDefault(&h.MaxSize, defaultMaxSize) },
		check:      func(h *Handler) error { return notNegative(h.MaxSize) },
		shown:      func(h *Handler) any { return h.MaxSize },
	},
	{
		name: "memory_buffer", args: "<size>",
		parse:      func(h *Handler, args []string) error { return parseSize(args[0], &h.MemoryBuffer) },
		setDefault: func(h *Handler) { setDefault(&h.MemoryBuffer, min(1<<20, h.MaxSize)) },
		check:      checkMemoryBuffer,
		shown:      func(h *Handler) any { return h.MemoryBuffer },
	},
	{
		name: "memory_limit", args: "<size>",
		parse:      func(h *Handler, args []string) error { return parseSize(args[0], &h.MemoryLimit) },
		setDefault: func(h *Handler) { setDefault(&h.MemoryLimit, defaultMemoryLimit()) },
		check:      func(h *Handler) error { return notNegative(h.MemoryLimit) },
		shown:      func(h *Handler) any { return h.MemoryLimit },
	},
	{
		name: "spool_dir", args: "<path>",
		parse: func(h *Handler, args []string) error { h.SpoolDir = args[0]; return nil },
		shown: func(h *Handler) any { return h.SpoolDir },
	},
	{
		name: "spool_limit", args: "<size>",
		parse:      func(h *Handler, args []string) error { return parseSize(args[0], &h.SpoolLimit) },
		setDefault: func(h *Handler) { setDefault(&h.SpoolLimit, 1<<30) },
		check:      func(h *Handler) error { return notNegative(h.SpoolLimit) },
		shown:      func(h *Handler) any { return h.SpoolLimit },
	},
	{
		name: "read_timeout", args: "<duration>",
		parse:      func(h *Handler, args []string) error { return parseDuration(args[0], &h.ReadTimeout) },
		setDefault: func(h *Handler) { setDefault(&h.ReadTimeout, caddy.Duration(time.Minute)) },
		check:      func(h *Handler) error { return notNegative(h.ReadTimeout) },
		shown:      func(h *Handler) any { return shownDuration(h.ReadTimeout) },
	},
	{
		name: "source_ips", args: "<elevenlabs|region|cidr>...",
		parse: func(h *Handler, args []string) error { h.SourceIPs = args; return nil },
		check: func(h *Handler) error { _, err := parseSources(h.SourceIPs); return err },
		shown: func(h *Handler) any { return h.SourceIPs },
	},
	{
		name: "events", args: "<type>...",
		parse: func(h *Handler, args []string) error { h.Events = args; return checkNames(args) },
		check: func(h *Handler) error { return checkNames(h.Events) },
		shown: func(h *Handler) any { return h.Events },
	},
	{
		name: "retries", args: "<count> [<pause>]",
		parse: parseRetries,
		setDefault: func(h *Handler) {
			if h.Retries.Count == nil {
				h.Retries.Count = new(3)
			}
			setDefault(&h.Retries.Pause, caddy.Duration(100*time.Millisecond))
		},
		check: checkRetries,
		shown: func(h *Handler) any {
			return map[string]any{"count": *h.Retries.Count, "pause": shownDuration(h.Retries.Pause)}
		},
	},
	{
		name: "sign", args: "<secret>", repeats: true,
		parse: func(h *Handler, args []string) error {
			h.Sign = append(h.Sign, args[0])
			return checkSign(h.Sign)
		},
		check: func(h *Handler) error { return checkSign(h.Sign) },
		shown: func(h *Handler) any { return shownSign(h.Sign) },
	},
	{
		name: "inbox", args: "[<name>]", block: inboxOptions,
		parse: func(h *Handler, args []string) error {
			h.Inbox = &Inbox{Name: strings.Join(args, "")}
			return nil
		},
		setDefault: func(h *Handler) {
			if h.Inbox != nil {
				setDefault(&h.Inbox.Name, "default")
				h.Inbox.setDefaults(defaultDelivery)
			}
		},
		check: ifInbox(checkInboxName),
		shown: shownInbox,
	},
	{
		name:  "allow_http",
		parse: func(h *Handler, _ []string) error { h.AllowHTTP = true; return nil },
		shown: func(h *Handler) any { return h.AllowHTTP },
	},
	{
		name:  "report_only",
		parse: func(h *Handler, _ []string) error { h.ReportOnly = true; return nil },
		shown: func(h *Handler) any { return h.ReportOnly },
	},
}

func optionByName(table []option, name string) (option, bool) {
	for _, o := range table {
		if o.name == name {
			return o, true
		}
	}
	return option{}, false
}

// check returns the name of the first option that has a bad value, and why. The name of
// an option in a block comes after that of the block. Zero stands for the default. It
// does not touch the disk or the network.
func (h *Handler) check() (name string, err error) { return h.checkTable(options, "") }

func (h *Handler) checkTable(table []option, block string) (name string, err error) {
	for _, o := range table {
		if o.check != nil {
			if err := o.check(h); err != nil {
				return block + o.name, err
			}
		}
		if name, err := h.checkTable(o.block, block+o.name+" "); err != nil {
			return name, err
		}
	}
	return "", nil
}

func (h *Handler) setDefaults() { h.setTableDefaults(options) }

func (h *Handler) setTableDefaults(table []option) {
	for _, o := range table {
		if o.setDefault != nil {
			o.setDefault(h)
		}
		h.setTableDefaults(o.block)
	}
}

func setDefault[T comparable](option *T, value T) {
	var zero T
	if *option == zero {
		*option = value
	}
}

// shown returns the options for the admin endpoint, by their names in JSON.
func (h *Handler) shown() map[string]any { return h.shownTable(options) }

func (h *Handler) shownTable(table []option) map[string]any {
	shown := map[string]any{}
	for _, o := range table {
		if o.shown == nil {
			continue
		}
		if value := o.shown(h); !reflect.ValueOf(value).IsZero() {
			shown[cmp.Or(o.json, o.name)] = value
		}
	}
	return shown
}

// shownDuration returns a duration as a Caddyfile and a JSON configuration take it. In
// JSON, caddy.Duration would be a number of nanoseconds.
func shownDuration(d caddy.Duration) string { return time.Duration(d).String() }

// shownSecrets returns the secrets. A value is shown only if it is a placeholder and
// nothing else.
func shownSecrets(h *Handler) any {
	secrets := make([]Secret, len(h.Secrets))
	for i, s := range h.Secrets {
		secrets[i].Name = s.Name
		if _, ok := placeholderKey(s.Value); ok {
			secrets[i].Value = s.Value
		}
	}
	return secrets
}

func parseSecret(h *Handler, args []string) error {
	secret := Secret{Value: args[0], Name: second(args)}
	h.Secrets = append(h.Secrets, secret)
	return secret.check()
}

func checkSecrets(h *Handler) error {
	if len(h.Secrets) == 0 {
		return errNoSecret
	}
	for _, secret := range h.Secrets {
		if err := secret.check(); err != nil {
			return err
		}
	}
	return nil
}

// defaultMemoryLimit returns an eighth of Go's memory limit, which Caddy sets from
// the cgroup or the machine. The rest is for connections, for what Go has not yet
// collected, and for everything else that Caddy does.
func defaultMemoryLimit() int64 { return min(debug.SetMemoryLimit(-1)/8, 128<<20) }

func checkMemoryBuffer(h *Handler) error {
	maxSize := h.MaxSize
	setDefault(&maxSize, defaultMaxSize)
	if h.MemoryBuffer > maxSize {
		return fmt.Errorf("%d bytes is more than max_size, %d bytes", h.MemoryBuffer, maxSize)
	}
	return notNegative(h.MemoryBuffer)
}

func parseRetries(h *Handler, args []string) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("%q is not a number", args[0])
	}
	h.Retries.Count = &count
	return parseDuration(second(args), &h.Retries.Pause)
}

func checkRetries(h *Handler) error {
	if count := h.Retries.Count; count != nil && (*count < 0 || *count > maxRetries) {
		return fmt.Errorf("the count must be from 0 to %d", maxRetries)
	}
	return notNegative(h.Retries.Pause)
}

// second returns the second argument, or nothing.
func second(args []string) string { return strings.Join(args[1:], "") }

var errNotPositive = errors.New("must be greater than zero")

func notNegative[T ~int64](values ...T) error {
	for _, value := range values {
		if value < 0 {
			return errNotPositive
		}
	}
	return nil
}

// checkNames checks names that events are chosen by. One that no event can have would drop
// every event, and ElevenLabs would get 200.
func checkNames(names []string) error {
	for _, name := range names {
		if name == "" || strings.Contains(name, "{") {
			return fmt.Errorf("no event has %q, since placeholders are not resolved here: write the value, or {$NAME} for a variable of the environment", name)
		}
	}
	return nil
}

// parseDuration parses an argument, or leaves the default if there is none.
func parseDuration(arg string, to *caddy.Duration) error {
	if arg == "" {
		return nil
	}
	duration, err := caddy.ParseDuration(arg)
	if err == nil && duration <= 0 {
		err = errNotPositive
	}
	*to = caddy.Duration(duration)
	return err
}

func parseSize(arg string, to *int64) error {
	size, err := humanize.ParseBytes(arg)
	if err != nil {
		return fmt.Errorf("%q is not a size such as 10MiB", arg)
	}
	if size == 0 {
		return errNotPositive
	}
	if size > math.MaxInt64 {
		return fmt.Errorf("%q is too large", arg)
	}
	*to = int64(size)
	return nil
}
