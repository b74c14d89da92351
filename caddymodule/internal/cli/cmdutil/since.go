package cmdutil

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseTime reads the value of a flag that is a time, or a duration before now. It is zero
// for an empty text.
func ParseTime(now time.Time, flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	ago, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		ago = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || ago <= 0 {
		return time.Time{}, fmt.Errorf("--%s must be a time such as 2026-11-20T10:00:00Z, or a duration before now such as 2h or 3d, not %q", flag, text)
	}
	return now.Add(-ago), nil
}
