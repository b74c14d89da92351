package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/caddymodule/signature"
)

// inboxResult is one figure of the inbox.
type inboxResult struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// measureInbox measures the durable inbox beside direct forwarding by the same Caddy,
// and beside a Node.js application that keeps each event in a file.
// All events are of 8 KiB, and each is another one.
func measureInbox(rounds int, duration time.Duration, waiting int, database, profiles string, asJSON bool) {
	b := startSwitchable()
	a := newArena(b.address)
	caddy := filepath.Join(a.dir, "caddy")
	run("", "go", "build", "-o", caddy, "github.com/caddy-elevenlabs/caddy-elevenlabs/xcaddy")
	webhook := func(inbox string) string {
		return "\televenlabs_webhook {\n\t\tsecret {env.WEBHOOK_SECRET}\n" + inbox + "\t\treverse_proxy " + b.address + "\n\t}\n"
	}
	if database == "" {
		database = filepath.Join(a.dir, "inbox.db")
	}
	const options = "\t\t\tconcurrency 16\n\t\t\tretry 1s\n"
	direct := a.caddy("direct", caddy, webhook(""))
	inbox := a.caddy("inbox", caddy, webhook("\t\tinbox {\n\t\t\tdatabase "+database+"\n"+options+"\t\t}\n"))

	durable := a.node("durable", "durable.mjs")

	var rows []inboxResult
	show := func(what string, value float64, unit string) {
		rows = append(rows, inboxResult{what, value, unit})
		fmt.Fprintf(os.Stderr, "%s: %.2f %s\n", what, value, unit)
	}
	for _, concurrency := range []int{1, 16, 64} {
		ratios, rates, durables := make([]float64, 0, rounds), make([]float64, 0, rounds), make([]float64, 0, rounds)
		for range rounds {
			b.up()
			directly, _ := accept(direct, concurrency, duration)
			b.down()
			profiled := profile(inbox, work{name: fmt.Sprintf("accept c=%d", concurrency)}, profiles, duration)
			stored, _ := accept(inbox, concurrency, duration)
			profiled()
			b.up()
			b.await()
			ratios, rates = append(ratios, stored/directly), append(rates, stored)
			if durable != nil {
				kept, _ := accept(durable, concurrency, duration)
				durables = append(durables, kept/directly)
			}
		}
		show(fmt.Sprintf("accept at c=%d", concurrency), middle(rates), "events/s")
		show(fmt.Sprintf("accept at c=%d, to direct forwarding", concurrency), middle(ratios), "")
		if durable != nil {
			show(fmt.Sprintf("durable Node.js at c=%d, to direct forwarding", concurrency), middle(durables), "")
		}
	}
	accepted, delivered := make([]float64, 0, rounds), make([]float64, 0, rounds)
	for range rounds {
		before, began := b.taken.Load(), time.Now()
		rate, _ := accept(inbox, 16, duration)
		delivered = append(delivered, float64(b.taken.Load()-before)/time.Since(began).Seconds())
		accepted = append(accepted, rate)
		b.await()
	}
	show("both at once at c=16: accept", middle(accepted), "events/s")
	show("both at once at c=16: deliver", middle(delivered), "events/s")

	const single = 50
	after := make([]float64, 0, single)
	for range single {
		before := b.taken.Load()
		began := time.Now()
		client := newClient(1)
		postEvent(client, inbox)
		for b.taken.Load() == before {
			time.Sleep(100 * time.Microsecond)
		}
		after = append(after, milliseconds(time.Since(began)))
		client.CloseIdleConnections()
	}
	show("one event, from its request to the idle backend, with TLS", middle(after), "ms")

	b.await()
	used, quiet := cpu(inbox.pid()), 10*duration
	time.Sleep(quiet)
	show("idle, share of a core", (cpu(inbox.pid())-used).Seconds()/quiet.Seconds()*100, "%")

	b.down()
	for b.sent.Load()-b.taken.Load() < int64(waiting) {
		accept(inbox, 64, time.Second)
	}
	held := b.sent.Load() - b.taken.Load()
	check(inbox.command.Process.Signal(syscall.SIGTERM))
	_ = inbox.command.Wait()
	restarted := time.Now()
	inbox = a.caddy("inbox", caddy, webhook("\t\tinbox {\n\t\t\tdatabase "+database+"\n"+options+"\t\t}\n"))
	show(fmt.Sprintf("start with %d waiting", held), time.Since(restarted).Seconds(), "s")
	b.up()
	for b.taken.Load() == b.sent.Load()-held {
		time.Sleep(time.Millisecond)
	}
	began, usedBefore := time.Now(), cpu(inbox.pid())
	b.await()
	took := time.Since(began)
	show("drain with 16 at once", float64(held)/took.Seconds(), "events/s")
	show("drain, CPU of the server", (cpu(inbox.pid())-usedBefore).Seconds()/took.Seconds(), "cores")
	show("peak memory", memory(inbox.pid(), "VmHWM"), "MiB")
	if info, err := os.Stat(database); err == nil {
		show("database file", float64(info.Size())/(1<<20), "MiB")
	}

	if asJSON {
		for _, row := range rows {
			check(json.NewEncoder(os.Stdout).Encode(row))
		}
		return
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(table, "%s\t%s\n", row.What, strconv.FormatFloat(row.Value, 'f', 2, 64)+" "+row.Unit)
	}
	check(table.Flush())
}

func middle(figures []float64) float64 {
	slices.Sort(figures)
	return figures[len(figures)/2]
}

// switchable is a backend that can refuse connections.
type switchable struct {
	address     string
	server      *http.Server
	sent, taken atomic.Int64 // of the inbox
}

var backend *switchable

func startSwitchable() *switchable {
	backend = &switchable{address: fmt.Sprintf("127.0.0.1:%d", freePort())}
	backend.up()
	return backend
}

func (b *switchable) up() {
	if b.server != nil {
		return
	}
	listener, err := net.Listen("tcp", b.address)
	check(err)
	b.server = &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		b.taken.Add(1)
	})}
	go func(s *http.Server) { _ = s.Serve(listener) }(b.server)
}

func (b *switchable) down() {
	if b.server != nil {
		check(b.server.Close())
		b.server = nil
	}
}

// await waits until the backend has all events of the inbox.
func (b *switchable) await() {
	for b.taken.Load() < b.sent.Load() {
		time.Sleep(10 * time.Millisecond)
	}
}

var eventBody = transcript(8<<10, false)

// number makes each event another one.
var number atomic.Int64

// postEvent sends a new event.
func postEvent(client *http.Client, c *contender) {
	body := bytes.Replace(eventBody, []byte("conv_01jz"), fmt.Appendf(nil, "conv_%09d_%d", number.Add(1), os.Getpid()), 1)
	request, err := http.NewRequest(http.MethodPost, "https://"+c.address+"/webhooks/elevenlabs", bytes.NewReader(body))
	check(err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(signature.HeaderName, signature.Sign([]byte(secret), time.Now(), body))
	response, err := client.Do(request)
	check(err)
	_, err = io.Copy(io.Discard, response.Body)
	check(err)
	check(response.Body.Close())
	if response.StatusCode != http.StatusOK {
		check(fmt.Errorf("%s answered %d", c.name, response.StatusCode))
	}
	if kept := response.Header.Get("X-ElevenLabs-Inbox"); c.name == "inbox" && kept != "stored" {
		check(fmt.Errorf("the inbox did not store an event, but: %s", kept))
	}
	if c.name != "durable" {
		backend.sent.Add(1)
	}
}

// accept sends new events for the duration. It returns the rate and the time that each
// took, in milliseconds, the shortest first.
func accept(c *contender, concurrency int, duration time.Duration) (perSecond float64, times []float64) {
	client := newClient(concurrency)
	defer client.CloseIdleConnections()
	all := make(chan []float64)
	began := time.Now()
	for range concurrency {
		go func() {
			var own []float64
			for time.Since(began) < duration {
				start := time.Now()
				postEvent(client, c)
				own = append(own, milliseconds(time.Since(start)))
			}
			all <- own
		}()
	}
	for range concurrency {
		times = append(times, <-all...)
	}
	slices.Sort(times)
	return float64(len(times)) / time.Since(began).Seconds(), times
}
