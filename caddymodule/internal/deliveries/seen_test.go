package deliveries

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAnEventIsRememberedUntilManyOthersCame(t *testing.T) {
	id := func(n int) (id EventID) {
		binary.BigEndian.PutUint64(id[:], uint64(n))
		return id
	}
	var s Seen
	for n := range seenEvents {
		assert.False(t, s.Add(id(n)))
	}
	assert.True(t, s.Add(id(0)))
	assert.False(t, s.Add(id(seenEvents)), "in place of the first")
	assert.True(t, s.Add(id(1)))
	assert.False(t, s.Add(id(0)), "in place of the second")
	assert.False(t, s.Add(id(1)))
	assert.True(t, s.Add(id(3)))
	assert.Len(t, s.ids, seenEvents)
}
