package cmdutil

import (
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
)

func TestAFlagMayBeRepeatedOnlyIfItHasSeveralValues(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string
	}{
		{args: []string{"do", "--text", "a"}},
		{args: []string{"do", "--text", "a", "--text", "wsec_b"}, says: "--text is given twice: give it once"},
		{args: []string{"do", "--text", "a", "--text", "a"}, says: "--text is given twice: give it once"},
		{args: []string{"do", "-n", "1", "--number=2"}, says: "--number is given twice: give it once"},
		{args: []string{"do", "--yes", "--yes"}},
		{args: []string{"do", "--word", "a", "--word", "b"}},
		{args: []string{"do", "--line", "a", "--line", "b"}},
		{args: []string{"group", "do", "--text", "a", "--text", "b"}, says: "--text is given twice: give it once"},
		{args: []string{"do", "--text", "a", "--text", "b", "--help"}},
	} {
		newCmd := func() *cobra.Command {
			cmd := &cobra.Command{Use: "do", Short: "x", RunE: func(*cobra.Command, []string) error { return nil }}
			var words []string
			cmd.Flags().String("text", "default", "")
			cmd.Flags().IntP("number", "n", 3, "")
			cmd.Flags().Bool("yes", false, "")
			cmd.Flags().StringArray("line", nil, "")
			cmd.Flags().Var(Words{Values: &words}, "word", "")
			return cmd
		}
		root, group := &cobra.Command{Use: "root", SilenceErrors: true, SilenceUsage: true}, &cobra.Command{Use: "group"}
		Group(group, newCmd())
		Group(root, newCmd(), group)
		root.SetArgs(test.args)
		err := root.Execute()
		if test.says == "" {
			assert.NoError(t, err, test.args)
		} else {
			assert.EqualError(t, err, test.says)
		}
	}
}
