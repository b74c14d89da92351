package caddymodule

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// maxConcurrency is how many deliveries may run at once. Each keeps up to a MiB of its
// body in memory.
const maxConcurrency = 1000

// defaultRetry are the pauses after failed attempts.
var defaultRetry = []caddy.Duration{
	caddy.Duration(5 * time.Second), caddy.Duration(30 * time.Second), caddy.Duration(2 * time.Minute),
	caddy.Duration(10 * time.Minute), caddy.Duration(30 * time.Minute), caddy.Duration(time.Hour),
}

// inboxOptions is the table of the options in the block of inbox.
var inboxOptions = []option{
	{
		name: "database", args: "<path|url>",
		parse: func(h *Handler, args []string) error {
			if h.Inbox.Database = args[0]; args[0] == "" {
				return errNoDatabase
			}
			return nil
		},
		// not checked: it may be a placeholder, which is resolved later
		shown: func(h *Handler) any { return inbox.Shown(h.Inbox.Database) },
	},
	{
		name: "concurrency", args: "<count>",
		parse: func(h *Handler, args []string) (err error) {
			h.Inbox.Concurrency, err = strconv.Atoi(args[0])
			if err != nil {
				return fmt.Errorf("%q is not a number", args[0])
			}
			if h.Inbox.Concurrency == 0 {
				return errNotPositive
			}
			return nil
		},
		setDefault: ofInbox(func(i *Inbox) { setDefault(&i.Concurrency, 16) }),
		check: ifInbox(func(i *Inbox) error {
			if i.Concurrency < 0 || i.Concurrency > maxConcurrency {
				return fmt.Errorf("the count must be from 1 to %d", maxConcurrency)
			}
			return nil
		}),
		shown: func(h *Handler) any { return h.Inbox.Concurrency },
	},
	{
		name: "timeout", args: "<duration>",
		parse:      func(h *Handler, args []string) error { return parseDuration(args[0], &h.Inbox.Timeout) },
		setDefault: ofInbox(func(i *Inbox) { setDefault(&i.Timeout, caddy.Duration(time.Minute)) }),
		check:      ifInbox(func(i *Inbox) error { return notNegative(i.Timeout) }),
		shown:      func(h *Handler) any { return shownDuration(h.Inbox.Timeout) },
	},
	{
		name: "retry", args: "<pause>...",
		parse: func(h *Handler, args []string) error {
			h.Inbox.Retry = make([]caddy.Duration, len(args))
			for i, arg := range args {
				if err := parseDuration(arg, &h.Inbox.Retry[i]); err != nil {
					return err
				}
			}
			return nil
		},
		setDefault: ofInbox(func(i *Inbox) {
			if len(i.Retry) == 0 {
				i.Retry = defaultRetry
			}
		}),
		check: ifInbox(func(i *Inbox) error {
			for _, pause := range i.Retry {
				if pause <= 0 {
					return errNotPositive
				}
			}
			return nil
		}),
		shown: func(h *Handler) any {
			pauses := make([]string, len(h.Inbox.Retry))
			for i, pause := range h.Inbox.Retry {
				pauses[i] = shownDuration(pause)
			}
			return pauses
		},
	},
	{
		name: "give_up", args: "<duration>",
		parse:      func(h *Handler, args []string) error { return parseDuration(args[0], &h.Inbox.GiveUp) },
		setDefault: ofInbox(func(i *Inbox) { setDefault(&i.GiveUp, caddy.Duration(72*time.Hour)) }),
		check:      ifInbox(func(i *Inbox) error { return notNegative(i.GiveUp) }),
		shown:      func(h *Handler) any { return shownDuration(h.Inbox.GiveUp) },
	},
	{
		name: "retention", args: "<delivered> [<dead>]",
		parse: func(h *Handler, args []string) error {
			delivered, err := caddy.ParseDuration(args[0])
			h.Inbox.Retention.Delivered = new(caddy.Duration(delivered))
			return errors.Join(err, parseDuration(second(args), &h.Inbox.Retention.Dead))
		},
		setDefault: ofInbox(func(i *Inbox) {
			if i.Retention.Delivered == nil {
				i.Retention.Delivered = new(caddy.Duration(72 * time.Hour))
			}
			setDefault(&i.Retention.Dead, caddy.Duration(720*time.Hour))
		}),
		check: ifInbox(func(i *Inbox) error {
			if i.Retention.Delivered != nil && *i.Retention.Delivered < 0 {
				return errors.New("must not be less than zero")
			}
			return notNegative(i.Retention.Dead)
		}),
		shown: func(h *Handler) any {
			return map[string]any{"delivered": shownDuration(*h.Inbox.Retention.Delivered), "dead": shownDuration(h.Inbox.Retention.Dead)}
		},
	},
	{
		name: "limit", args: "<size>",
		parse:      func(h *Handler, args []string) error { return parseSize(args[0], &h.Inbox.Limit) },
		setDefault: ofInbox(func(i *Inbox) { setDefault(&i.Limit, 10<<30) }),
		check:      ifInbox(func(i *Inbox) error { return notNegative(i.Limit) }),
		shown:      func(h *Handler) any { return h.Inbox.Limit },
	},
}

// ofInbox sets a default of the inbox, if there is one.
func ofInbox(set func(*Inbox)) func(*Handler) {
	return func(h *Handler) {
		if h.Inbox != nil {
			set(h.Inbox)
		}
	}
}

// ifInbox checks the inbox, if there is one.
func ifInbox(check func(*Inbox) error) func(*Handler) error {
	return func(h *Handler) error {
		if h.Inbox == nil {
			return nil
		}
		return check(h.Inbox)
	}
}

var inboxName = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

func checkInboxName(i *Inbox) error {
	if i.Name != "" && !inboxName.MatchString(i.Name) {
		return fmt.Errorf("the name %q must be 1 to 64 of a to z, 0 to 9, _ and -", i.Name)
	}
	return nil
}

// shownInbox returns the options of the inbox. The database may have a password in its
// URL, which is not shown.
func shownInbox(h *Handler) any {
	if h.Inbox == nil {
		return map[string]any(nil)
	}
	shown := h.shownTable(inboxOptions)
	shown["name"] = h.Inbox.Name
	return shown
}
