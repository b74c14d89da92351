package caddymodule

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-elevenlabs/caddy-elevenlabs/internal/buildinfo"
)

// buildInfo is always 1. Its labels tell the release, by the names that Prometheus'
// own build_info has.
var buildInfo = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
	Namespace: namespace, Subsystem: "elevenlabs", Name: "build_info",
	Help: "Always 1. The labels tell what this program was built from.",
	ConstLabels: prometheus.Labels{
		"version": buildinfo.Read().Version, "revision": buildinfo.Read().Revision, "goversion": runtime.Version(),
	},
}, func() float64 { return 1 })
