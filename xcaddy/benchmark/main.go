// Command benchmark measures what verification costs. It starts several servers
// on loopback, sends each the same signed events in turn, and prints the medians.
// See README.md.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "readall" {
		readall()
	}
	rounds := flag.Int("rounds", 3, "how many rounds to measure")
	duration := flag.Duration("duration", 2*time.Second, "how long to measure each contender under each work in a round")
	only := flag.String("only", "", "measure only work whose name contains one of these texts, separated by commas")
	asJSON := flag.Bool("json", false, "print one JSON object a row")
	profiles := flag.String("profile", "", "write a CPU profile of each Caddy under each work into this folder; with --inbox, of the inbox")
	inbox := flag.Bool("inbox", false, "measure the durable inbox instead")
	waiting := flag.Int("waiting", 100_000, "with --inbox: how many events wait at a start")
	database := flag.String("database", "", "with --inbox: the URL of a Postgres database, in place of a SQLite file")
	flag.Parse()
	if *profiles != "" {
		check(os.MkdirAll(*profiles, 0o755))
	}
	if *inbox {
		defer end()
		measureInbox(*rounds, *duration, *waiting, *database, *profiles, *asJSON)
		return
	}

	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() {
		check(http.Serve(upstream, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
		})))
	}()
	go func() {
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
		check(fmt.Errorf("interrupted: %s", <-interrupted))
	}()
	defer end()
	contenders := newArena(upstream.Addr().String()).contenders()

	selected := slices.DeleteFunc(works(), func(w work) bool {
		return !slices.ContainsFunc(strings.Split(*only, ","), func(name string) bool { return strings.Contains(w.name, name) })
	})
	idle := map[string]float64{}
	for _, c := range contenders {
		small := works()[0]
		small.sign()
		send(newClient(1), c, small)
		idle[c.name] = memory(c.pid(), "VmRSS")
	}
	show := func(string, ...any) {}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		show = func(format string, args ...any) { fmt.Fprintf(os.Stderr, "\r\033[K"+format, args...) }
	}
	measured := map[string][]result{}
	for round := range *rounds {
		for _, w := range selected {
			for _, c := range contenders {
				show("round %d of %d: %s, %s", round+1, *rounds, w.name, c.name)
				measured[w.name+c.name] = append(measured[w.name+c.name], measure(c, w, idle[c.name], *duration, *profiles))
			}
		}
	}
	show("")

	rows := make([]result, 0, len(contenders)*len(selected))
	for _, w := range selected {
		for _, c := range contenders {
			rows = append(rows, medians(measured[w.name+c.name]))
		}
	}
	toPlain(rows)
	if *asJSON {
		for _, row := range rows {
			check(json.NewEncoder(os.Stdout).Encode(row))
		}
		return
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "work\tcontender\trequests/s\tratio\tp50 ms\tratio\tp99 ms\tratio\tCPU s/1000\tratio\tpeak MiB\tratio\tabove idle\t")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.3f\t%.2f\t%.0f\t%.2f\t%.0f\t\n", r.Work, r.Contender,
			r.PerSecond, r.ToPlain.PerSecond, r.P50, r.ToPlain.P50, r.P99, r.ToPlain.P99, r.CPU, r.ToPlain.CPU, r.Memory, r.ToPlain.Memory, r.AboveIdle)
	}
	check(table.Flush())
}

// medians returns the median of each figure on its own.
func medians(results []result) result {
	median := func(figure func(result) float64) float64 {
		all := make([]float64, len(results))
		for i, r := range results {
			all[i] = figure(r)
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return result{
		Work: results[0].Work, Contender: results[0].Contender,
		figures: figures{
			PerSecond: median(func(r result) float64 { return r.PerSecond }),
			P50:       median(func(r result) float64 { return r.P50 }),
			P99:       median(func(r result) float64 { return r.P99 }),
			CPU:       median(func(r result) float64 { return r.CPU }),
			Memory:    median(func(r result) float64 { return r.Memory }),
		},
		AboveIdle: median(func(r result) float64 { return r.AboveIdle }),
	}
}

// toPlain sets the ratios of each row to the row of plain for the same work.
func toPlain(rows []result) {
	plain := map[string]figures{}
	for _, r := range rows {
		if r.Contender == "plain" {
			plain[r.Work] = r.figures
		}
	}
	for i := range rows {
		base := plain[rows[i].Work]
		rows[i].ToPlain = figures{
			PerSecond: ratio(rows[i].PerSecond, base.PerSecond),
			P50:       ratio(rows[i].P50, base.P50),
			P99:       ratio(rows[i].P99, base.P99),
			CPU:       ratio(rows[i].CPU, base.CPU),
			Memory:    ratio(rows[i].Memory, base.Memory),
		}
	}
}

// ratio returns 0 if the clock was too coarse to measure the base.
func ratio(figure, base float64) float64 {
	if base == 0 {
		return 0
	}
	return figure / base
}

// end stops the contenders and removes their files.
var end = sync.OnceFunc(func() {
	for _, command := range commands {
		_ = command.Process.Signal(syscall.SIGTERM) // a background job of a script ignores os.Interrupt
		_ = command.Wait()
	}
	_ = os.RemoveAll(folder)
})

var (
	commands []*exec.Cmd
	folder   string
)

func check(err error) {
	if err != nil {
		end()
		log.Fatalln("benchmark:", err)
	}
}
