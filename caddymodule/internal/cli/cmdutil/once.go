package cmdutil

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// counted is the value of a flag that may be given only once. The last of several
// values would win otherwise, and nothing would say so.
type counted struct {
	pflag.Value
	times int
}

// Set keeps the value, and counts.
func (c *counted) Set(value string) error {
	c.times++
	return c.Value.Set(value)
}

// rejectRepeats makes a command reject a flag that is given twice, unless the flag
// takes several values or none. The error does not show them: one may be a secret.
func rejectRepeats(cmd *cobra.Command) {
	var all []*pflag.Flag
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		_, isSlice := flag.Value.(pflag.SliceValue)
		_, isWords := flag.Value.(Words)
		if !isSlice && !isWords && flag.NoOptDefVal == "" {
			flag.Value = &counted{Value: flag.Value}
			all = append(all, flag)
		}
	})
	cmd.PreRunE = func(*cobra.Command, []string) error {
		for _, flag := range all {
			if flag.Value.(*counted).times > 1 {
				return fmt.Errorf("--%s is given twice: give it once", flag.Name)
			}
		}
		return nil
	}
}
