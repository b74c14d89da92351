package facts

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFailuresOfEachKindHaveAMeaning(t *testing.T) {
	meanings := map[string]bool{}
	for _, test := range []struct {
		status int
		says   string
	}{
		{401, "another secret"},
		{404, "path"},
		{413, "max_size"},
		{204, "only 200"},
		{302, "redirect"},
		{418, "rejected"},
		{599, "failed"},
		{0, "no answer"},
		{200, "no answer"},
		{999, "no answer"},
	} {
		meaning := AnswerMeaning(test.status)
		assert.Contains(t, meaning, test.says, test.status)
		meanings[meaning] = true
	}
	assert.Len(t, meanings, 8)
}

// Whatever status ElevenLabs got, from this module or from others, the operator can
// do something about it.
func TestFailuresOfEachKindHaveARemedy(t *testing.T) {
	for _, test := range []struct {
		status int
		says   string
	}{
		{0, "DNS record, connection and certificate"},
		{200, "200"},
		{204, "200"},
		{308, "redirect"},
		{400, "ElevenLabs-Signature"},
		{401, "this very webhook"},
		{403, "timedatectl"},
		{404, "path"},
		{405, "path"},
		{408, "read_timeout"},
		{413, "max_size"},
		{422, "application's log"},
		{425, "early data"},
		{429, "limit"},
		{500, "application's log"},
		{502, "application"},
		{503, "spool_limit"},
		{504, "answer first"},
		{520, "application's log"},
	} {
		assert.Contains(t, AnswerRemedy(test.status), test.says, test.status)
		assert.NotEmpty(t, AnswerMeaning(test.status), test.status)
	}
}

func TestTheRemedyOfSeveralRejectionsNamesEach(t *testing.T) {
	remedy := AnswerRemedy(403)
	for _, r := range Rejections {
		if r.Status == 403 {
			assert.Contains(t, remedy, r.Code+": "+r.Remedy)
		}
	}
}
