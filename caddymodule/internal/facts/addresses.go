package facts

import (
	"net/netip"
	"slices"
)

// Region is a region of ElevenLabs, with the addresses that it sends from.
type Region struct {
	Name      string
	Addresses []string
}

// Regions are all regions, as published at
// https://elevenlabs.io/docs/eleven-api/resources/ip-allowlisting. All services of
// ElevenLabs share these addresses, and any customer can aim some services at any
// URL. So an address is a filter, never a proof.
var Regions = []Region{
	{"us", []string{"34.67.146.145", "34.59.11.47"}},
	{"eu", []string{"35.204.38.71", "34.147.113.54"}},
	{"asia", []string{"35.185.187.110", "35.247.157.189"}},
	{"eu_residency", []string{"34.77.234.246", "34.140.184.144"}},
	{"india_residency", []string{"34.93.26.174", "34.93.252.69"}},
	{"singapore_residency", []string{"34.87.23.17", "34.126.179.103"}},
}

// IsElevenLabs reports whether an address is one of ElevenLabs.
func IsElevenLabs(address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && slices.ContainsFunc(Regions, func(r Region) bool {
		return slices.Contains(r.Addresses, ip.WithZone("").Unmap().String())
	})
}
