package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// result is one measurement, or the medians of several.
type result struct {
	Work      string `json:"work"`
	Contender string `json:"contender"`
	figures
	AboveIdle float64 `json:"peak_memory_above_idle_mib"`
	ToPlain   figures `json:"to_plain"` // ratios
}

type figures struct {
	PerSecond float64 `json:"requests_per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	CPU       float64 `json:"cpu_seconds_per_1000"`
	Memory    float64 `json:"peak_memory_mib"`
}

// measure sends one kind of request to one contender for the duration, after a
// quarter of it to warm up. It writes a profile into the folder profiles, unless
// that is empty.
func measure(c *contender, w work, idle float64, duration time.Duration, profiles string) result {
	client := newClient(w.concurrency)
	defer client.CloseIdleConnections()
	w.sign()
	load(client, c, w, duration/4)
	resetPeak(c.pid())
	profiled := profile(c, w, profiles, duration)
	cpuBefore, began := cpu(c.pid()), time.Now()
	all := load(client, c, w, duration)
	elapsed := time.Since(began)
	peak := memory(c.pid(), "VmHWM")
	profiled()
	return result{
		Work: w.name, Contender: c.name,
		figures: figures{
			PerSecond: float64(len(all)) / elapsed.Seconds(),
			P50:       milliseconds(all[len(all)/2]),
			P99:       milliseconds(all[len(all)*99/100]),
			CPU:       (cpu(c.pid()) - cpuBefore).Seconds() / float64(len(all)) * 1000,
			Memory:    peak,
		},
		AboveIdle: peak - idle,
	}
}

// load sends requests for the duration, and at least one from each sender. It
// returns the time that each request took, the shortest first.
func load(client *http.Client, c *contender, w work, duration time.Duration) []time.Duration {
	began := time.Now()
	times := make([][]time.Duration, w.concurrency)
	var senders sync.WaitGroup
	for sender := range w.concurrency {
		senders.Go(func() {
			for len(times[sender]) == 0 || time.Since(began) < duration {
				times[sender] = append(times[sender], send(client, c, w))
			}
		})
	}
	senders.Wait()
	all := slices.Concat(times...)
	slices.Sort(all)
	return all
}

// newClient returns a client for HTTP/1.1 over TLS 1.3 on kept-alive connections.
func newClient(connections int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13},
		MaxIdleConnsPerHost: connections,
		WriteBufferSize:     64 << 10,
	}}
}

func send(client *http.Client, c *contender, w work) time.Duration {
	began := time.Now()
	response, err := client.Do(w.request(c.url(w)))
	check(err)
	_, err = io.Copy(io.Discard, response.Body)
	check(err)
	check(response.Body.Close())
	if want := c.status(w); response.StatusCode != want {
		check(fmt.Errorf("%s answered %d to %s, want %d", c.name, response.StatusCode, w.name, want))
	}
	return time.Since(began)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
