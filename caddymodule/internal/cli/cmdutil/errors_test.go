package cmdutil

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestExitCodes(t *testing.T) {
	assert.Equal(t, 0, ExitCode(nil))
	assert.Equal(t, 1, ExitCode(errors.New("used wrongly")))
	assert.Equal(t, 2, ExitCode(fmt.Errorf("%w: 1 of 2", ErrCheckFailed)))
}
