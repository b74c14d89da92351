package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/internal/inbox"
)

// maxConcurrency is how many deliveries may run at once. Each keeps up to a MiB of its
// body in memory.
const maxConcurrency = 1000

// defaultDelivery is how events are delivered.
var defaultDelivery = InboxDelivery{
	Concurrency: 16,
	Timeout:     caddy.Duration(time.Minute),
	Retry: []caddy.Duration{
		caddy.Duration(5 * time.Second), caddy.Duration(30 * time.Second), caddy.Duration(2 * time.Minute),
		caddy.Duration(10 * time.Minute), caddy.Duration(30 * time.Minute), caddy.Duration(time.Hour),
	},
	GiveUp: caddy.Duration(72 * time.Hour),
}

// inboxOptions is the table of the options in the block of inbox.
var inboxOptions = slices.Concat([]option{{
	name: "database", args: "<path|url>",
	parse: func(h *Handler, args []string) error {
		if h.Inbox.Database = args[0]; args[0] == "" {
			return errNoDatabase
		}
		return nil
	},
	// not checked: it may be a placeholder, which is resolved later
	shown: func(h *Handler) any { return inbox.Shown(h.Inbox.Database) },
}}, deliveryOptions(ofTheInbox), []option{
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
	{
		name: "destination", args: "<name> [<matcher>]", repeats: true, json: "destinations", block: destinationOptions,
		parse: func(h *Handler, args []string) error {
			h.Inbox.Destinations = append(h.Inbox.Destinations, &Destination{Name: args[0]})
			return checkDestinations(h)
		},
		proxyOf: func(h *Handler) *json.RawMessage { return &lastDestination(h).ReverseProxyRaw },
		match: func(h *Handler, set caddy.ModuleMap) {
			d := lastDestination(h)
			d.MatcherSetsRaw = append(d.MatcherSetsRaw, set)
		},
		setDefault: ofInbox(setDestinationDefaults),
		check:      func(h *Handler) error { return ifInbox(func(*Inbox) error { return checkDestinations(h) })(h) },
		shown:      shownDestinations,
	},
})

// deliveryOptions is the table of the options of InboxDelivery. Those of the last one are
// parsed.
func deliveryOptions(of func(*Handler) []*InboxDelivery) []option {
	last := func(h *Handler) *InboxDelivery { all := of(h); return all[len(all)-1] }
	each := func(check func(*InboxDelivery) error) func(*Handler) error {
		return func(h *Handler) error {
			for _, d := range of(h) {
				if err := check(d); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return []option{
		{
			name: "concurrency", args: "<count>",
			parse: func(h *Handler, args []string) (err error) {
				d := last(h)
				if d.Concurrency, err = strconv.Atoi(args[0]); err != nil {
					return fmt.Errorf("%q is not a number", args[0])
				}
				if d.Concurrency == 0 {
					return errNotPositive
				}
				return checkConcurrency(d)
			},
			check: each(checkConcurrency),
			shown: func(h *Handler) any { return last(h).Concurrency },
		},
		{
			name: "timeout", args: "<duration>",
			parse: func(h *Handler, args []string) error { return parseDuration(args[0], &last(h).Timeout) },
			check: each(func(d *InboxDelivery) error { return notNegative(d.Timeout) }),
			shown: func(h *Handler) any { return shownDuration(last(h).Timeout) },
		},
		{
			name: "retry", args: "<pause>...",
			parse: func(h *Handler, args []string) error {
				d := last(h)
				d.Retry = make([]caddy.Duration, len(args))
				for i, arg := range args {
					if err := parseDuration(arg, &d.Retry[i]); err != nil {
						return err
					}
				}
				return nil
			},
			check: each(func(d *InboxDelivery) error {
				for _, pause := range d.Retry {
					if pause <= 0 {
						return errNotPositive
					}
				}
				return nil
			}),
			shown: func(h *Handler) any {
				pauses := make([]string, len(last(h).Retry))
				for i, pause := range last(h).Retry {
					pauses[i] = shownDuration(pause)
				}
				return pauses
			},
		},
		{
			name: "give_up", args: "<duration>",
			parse: func(h *Handler, args []string) error { return parseDuration(args[0], &last(h).GiveUp) },
			check: each(func(d *InboxDelivery) error { return notNegative(d.GiveUp) }),
			shown: func(h *Handler) any { return shownDuration(last(h).GiveUp) },
		},
	}
}

func checkConcurrency(d *InboxDelivery) error {
	if d.Concurrency < 0 || d.Concurrency > maxConcurrency {
		return fmt.Errorf("the count must be from 1 to %d", maxConcurrency)
	}
	return nil
}

// setDefaults fills the options that are not set from those of another one.
func (d *InboxDelivery) setDefaults(from InboxDelivery) {
	setDefault(&d.Concurrency, from.Concurrency)
	setDefault(&d.Timeout, from.Timeout)
	setDefault(&d.GiveUp, from.GiveUp)
	if len(d.Retry) == 0 {
		d.Retry = from.Retry
	}
}

// ofTheInbox returns how the inbox delivers, if there is one.
func ofTheInbox(h *Handler) []*InboxDelivery {
	if h.Inbox == nil {
		return nil
	}
	return []*InboxDelivery{&h.Inbox.InboxDelivery}
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
