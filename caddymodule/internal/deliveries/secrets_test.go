package deliveries

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The deliveries of the tests: of which secret, and what became of them.
var (
	good     = Delivery{Result: Accepted, Proven: true, Counts: true}
	bad      = Delivery{Result: Failed, Reason: "backend_answer", Proven: true, Counts: true}
	mismatch = Delivery{Result: Rejected, Reason: "signature_mismatch", Counts: true}
	forgery  = Delivery{Result: Rejected, Reason: "signature_mismatch"}
)

func of(secret string, d Delivery) Delivery {
	d.Secret = secret
	return d
}

// inRow returns the failures in a row of each secret, and of the handler.
func inRow(all []SecretStatus) map[string]int {
	out := map[string]int{}
	for _, s := range all {
		out[s.Secret] = s.FailuresInRow
	}
	return out
}

func TestEachSecretHasAStreakOfItsOwn(t *testing.T) {
	for _, test := range []struct {
		name       string
		secrets    []string
		deliveries []Delivery
		want       map[string]int
	}{
		{
			"a failing webhook does not hide behind one that succeeds",
			[]string{"a", "b"},
			[]Delivery{of("a", bad), of("b", good), of("a", bad), of("b", good), of("a", bad), of("b", good)},
			map[string]int{"a": 3, "b": 0, "": 0},
		},
		{
			"with one secret, an unproven delivery counts to it",
			[]string{"a"},
			[]Delivery{of("a", bad), mismatch, forgery},
			map[string]int{"a": 2},
		},
		{
			"with one secret, its success ends the streak of unproven deliveries",
			[]string{"a"},
			[]Delivery{mismatch, mismatch, of("a", good), mismatch},
			map[string]int{"a": 1},
		},
		{
			"with several, an unproven delivery counts to the handler",
			[]string{"a", "b"},
			[]Delivery{mismatch, of("a", bad), mismatch, forgery},
			map[string]int{"a": 1, "b": 0, "": 2},
		},
		{
			"the success of one secret does not end it: the other webhook may fail",
			[]string{"a", "wrong"},
			[]Delivery{mismatch, of("a", good), mismatch, of("a", good), mismatch, of("a", good)},
			map[string]int{"a": 0, "wrong": 0, "": 3},
		},
		{
			"a success of each does",
			[]string{"a", "b"},
			[]Delivery{mismatch, mismatch, of("a", good), of("b", good)},
			map[string]int{"a": 0, "b": 0, "": 0},
		},
		{
			"after the last failure",
			[]string{"a", "b"},
			[]Delivery{mismatch, of("a", good), mismatch, of("b", good)},
			map[string]int{"a": 0, "b": 0, "": 2},
		},
		{
			"and also what report_only forwarded",
			[]string{"a", "b"},
			[]Delivery{mismatch, mismatch, {Result: Accepted, WouldReject: "signature_mismatch", Counts: true}},
			map[string]int{"a": 0, "b": 0, "": 0},
		},
		{
			"secrets of the same name share one",
			[]string{"a", "a"},
			[]Delivery{of("a", bad), mismatch},
			map[string]int{"a": 2},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := NewCounters(test.secrets)
			for _, d := range test.deliveries {
				c.Count(&d)
			}
			assert.Equal(t, test.want, inRow(c.All()))
		})
	}
}

func TestAlarmsNameTheSecret(t *testing.T) {
	c := NewCounters([]string{"a", "b"})
	var raised []string
	count := func(minute int, d Delivery) {
		d.Ended = at(minute)
		for _, r := range c.Count(&d) {
			raised = append(raised, fmt.Sprint(minute, " ", r.Alarm, " ", r.Secret, " ", r.FailuresInRow))
		}
	}
	count(0, of("a", good))
	for n := range 5 {
		count(10+n, of("a", bad))
		count(10+n, of("b", good))
		count(20+n, mismatch)
	}
	count(30, of("a", good))
	count(31, of("b", good))
	slices.Sort(raised) // by minute
	assert.Equal(t, []string{
		fmt.Sprint("12 ", Notice, " a 3"), fmt.Sprint("14 ", Warning, " a 5"),
		fmt.Sprint("22 ", Notice, "  3"), fmt.Sprint("24 ", Warning, "  5"),
		fmt.Sprint("30 ", Recovered, " a 5"), fmt.Sprint("31 ", Recovered, "  5"),
	}, raised)
}

// At worst, the webhook that fails is the one that has not succeeded for the longest.
func TestTheHandlersLastSuccessIsTheEarliestOfItsSecrets(t *testing.T) {
	c := NewCounters([]string{"a", "b"})
	count := func(minute int, d Delivery) []Raised {
		d.Ended = at(minute)
		return c.Count(&d)
	}
	count(1, of("a", good))
	for n := range FirstAlarm {
		raised := count(2+n, mismatch)
		assert.Equal(t, n == FirstAlarm-1, len(raised) == 1)
		for _, r := range raised {
			assert.Zero(t, r.LastSuccess, "b has never succeeded")
		}
	}
	count(10, of("b", good))
	count(11, of("a", good))
	count(12, of("b", good))
	streak, ok := c.Streak("")
	require.True(t, ok)
	assert.Equal(t, at(11), streak.LastSuccess)
}

func TestTheTotalIsOfTheSecretThatFailsMost(t *testing.T) {
	c := NewCounters([]string{"a", "b"})
	count := func(minute int, d Delivery) {
		d.Time, d.Ended = at(minute), at(minute)
		c.Count(&d)
	}
	count(1, of("a", good))
	count(2, of("b", bad))
	count(3, of("b", good))
	count(4, mismatch)
	count(5, of("a", good))
	count(6, of("b", good))
	total := Total(c.All())
	assert.Zero(t, total.FailuresInRow)
	assert.Equal(t, at(6), total.LastSuccess, "of all")
	assert.Equal(t, at(4), total.LastFailure.Ended, "of all")

	count(7, of("b", bad))
	count(8, of("b", bad))
	count(9, mismatch)
	count(10, of("a", good))
	total = Total(c.All())
	assert.Equal(t, []any{2, at(7), at(6), at(8), at(10)},
		[]any{total.FailuresInRow, total.FailingSince, total.LastSuccess, total.LastFailure.Ended, total.LastDelivery}, "of b, except for the last delivery")
	assert.Equal(t, int64(5), total.Results.Accepted)
	assert.Equal(t, int64(3), total.Results.Failed)
	assert.Equal(t, int64(2), total.Results.Rejected)
	assert.Zero(t, total.Tests)

	for _, secret := range []string{"a", "b"} {
		test := of(secret, bad)
		test.Test, test.Counts = true, false
		c.Count(&test)
	}
	assert.Equal(t, Tally{Failed: 2}, Total(c.All()).Tests, "of all")
}

func TestASuccessorContinuesTheStreaksThatItKnowsTheNamesOf(t *testing.T) {
	before, after := NewCounters([]string{"a", "b"}), NewCounters([]string{"a", "b"})
	for n := range 4 {
		for _, d := range []Delivery{of("a", bad), mismatch} {
			d.Ended = at(n)
			before.Count(&d)
		}
	}
	for _, name := range []string{"a", "b", "", "c"} {
		streak, _ := before.Streak(name)
		after.Continue(name, streak)
	}
	assert.Equal(t, map[string]int{"a": 4, "b": 0, "": 4}, inRow(after.All()))
	a := of("a", good)
	after.Count(&a)
	assert.Equal(t, map[string]int{"a": 0, "b": 0, "": 4}, inRow(after.All()), "b may still be the one")
	old, _ := before.Streak("a")
	old.LastDelivery, old.LastFailure = at(-9), nil
	after.Continue("a", old)
	assert.Equal(t, map[string]int{"a": 0, "b": 0, "": 4}, inRow(after.All()), "the older one tells less")
}
