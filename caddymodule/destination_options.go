package caddymodule

import (
	"fmt"
	"slices"
)

// destinationOptions is the table of the options in the block of a destination. Only
// reverse_proxy is not here, as in the table of the directive.
var destinationOptions = slices.Concat([]option{
	{
		name: "events", args: "<type>...",
		parse: func(h *Handler, args []string) error { lastDestination(h).Events = args; return checkNames(args) },
		check: eachDestination(func(d *Destination) error { return checkNames(d.Events) }),
		shown: func(h *Handler) any { return lastDestination(h).Events },
	},
	{
		name: "agents", args: "<id>...",
		parse: func(h *Handler, args []string) error { lastDestination(h).Agents = args; return checkNames(args) },
		check: eachDestination(func(d *Destination) error { return checkNames(d.Agents) }),
		shown: func(h *Handler) any { return lastDestination(h).Agents },
	},
}, deliveryOptions(ofTheDestinations), []option{
	{
		name: "sign", args: "<secret>", repeats: true,
		parse: func(h *Handler, args []string) error {
			d := lastDestination(h)
			d.Sign = append(d.Sign, args[0])
			return checkSign(d.Sign)
		},
		shown: func(h *Handler) any { return shownSign(lastDestination(h).Sign) },
	},
})

func lastDestination(h *Handler) *Destination {
	return h.Inbox.Destinations[len(h.Inbox.Destinations)-1]
}

// eachDestination returns a check of all destinations, which names the one that is wrong.
func eachDestination(check func(*Destination) error) func(*Handler) error {
	return ifInbox(func(i *Inbox) error {
		for _, d := range i.Destinations {
			if err := check(d); err != nil {
				return fmt.Errorf("%s: %w", d.Name, err)
			}
		}
		return nil
	})
}

// ofTheDestinations returns how each destination delivers.
func ofTheDestinations(h *Handler) (all []*InboxDelivery) {
	if h.Inbox == nil {
		return nil
	}
	for _, d := range h.Inbox.Destinations {
		all = append(all, &d.InboxDelivery)
	}
	return all
}

// setDestinationDefaults lets the destinations deliver as the inbox does.
func setDestinationDefaults(i *Inbox) {
	for _, d := range i.Destinations {
		d.setDefaults(i.InboxDelivery)
	}
}

// shownDestinations returns the options of the destinations. The matchers are shown, and
// the proxy is not: it may hold a credential.
func shownDestinations(h *Handler) any {
	if len(h.Inbox.Destinations) == 0 {
		return []map[string]any(nil)
	}
	all := make([]map[string]any, 0, len(h.Inbox.Destinations))
	for _, d := range h.Inbox.Destinations {
		shown := (&Handler{Inbox: &Inbox{Destinations: []*Destination{d}}}).shownTable(destinationOptions)
		shown["name"] = d.Name
		if d.MatcherSetsRaw != nil {
			shown["match"] = d.MatcherSetsRaw
		}
		all = append(all, shown)
	}
	return all
}
