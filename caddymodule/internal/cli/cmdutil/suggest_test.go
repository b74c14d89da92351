package cmdutil

import (
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
)

func TestDidYouMeanNamesWhatIsNear(t *testing.T) {
	choices := []string{"send", "sign", "status", "tail", "verify", "at", "post_call_audio"}
	for _, test := range []struct{ word, says string }{
		{"snd", " (did you mean send?)"},
		{"tial", " (did you mean tail?)"},
		{"STATUS", " (did you mean status?)"},
		{"veri", " (did you mean verify?)"},
		{"s", " (did you mean send or sign or status?)"},
		{"audio", " (did you mean post_call_audio?)"},
		{"t_c", ""}, // a few letters are in many words
		{"x", ""},
		{"nope", ""},
		{"", ""},
	} {
		assert.Equal(t, test.says, DidYouMean(test.word, choices), test.word)
	}
}

func TestAnUnknownFlagNamesThoseThatAreNear(t *testing.T) {
	for _, test := range []struct{ arg, says string }{
		{"--secret=x", "unknown flag: --secret (did you mean --secret-env or --secret-file?): see `parent child --help`"},
		{"--secrte-file=x", "unknown flag: --secrte-file (did you mean --secret-file?): see `parent child --help`"},
		{"--jsno", "unknown flag: --jsno (did you mean --json?): see `parent child --help`"},
		{"--nothing", "unknown flag: --nothing: see `parent child --help`"},
		{"-x", "unknown shorthand flag: 'x' in -x"},
		{"--secret-file", "flag needs an argument: --secret-file"},
	} {
		parent := &cobra.Command{Use: "parent", SilenceErrors: true, SilenceUsage: true}
		child := &cobra.Command{Use: "child", Run: func(*cobra.Command, []string) {}}
		JSONFlag(parent)
		SecretFlags(child)
		parent.AddCommand(child)
		SuggestFlags(parent)
		parent.SetArgs([]string{"child", test.arg})
		assert.EqualError(t, parent.Execute(), test.says)
	}
}

func TestAChoiceIsCheckedAndCompleted(t *testing.T) {
	choices := []string{"accepted", "failed"}
	for _, test := range []struct {
		args []string
		says string
	}{
		{nil, ""},
		{[]string{"--result", "failed"}, ""},
		{[]string{"--result", "fialed"}, `there is no result "fialed" (did you mean failed?): give --result one of accepted, failed`},
		{[]string{"--result", ""}, "--result is empty: give it a value, or leave it out"},
	} {
		cmd := &cobra.Command{SilenceErrors: true, SilenceUsage: true}
		cmd.Flags().String("result", "", "")
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return CheckChoice(cmd, "result", choices) }
		cmd.SetArgs(append([]string{}, test.args...))
		err := cmd.Execute()
		if test.says == "" {
			assert.NoError(t, err)
		} else {
			assert.EqualError(t, err, test.says)
		}
	}
}

func TestCompleteOffersTheValuesOfAFlag(t *testing.T) {
	cmd := new(cobra.Command)
	cmd.Flags().String("one", "", "")
	cmd.Flags().Var(Words{Values: new([]string)}, "several", "")
	for _, test := range []struct {
		flag, typed string
		want        []string
	}{
		{"one", "", []string{"flows", "audio"}},
		{"one", "x,", []string{"flows", "audio"}},
		{"several", "", []string{"flows", "audio"}},
		{"several", "stt,tr", []string{"stt,flows", "stt,audio"}},
	} {
		if _, registered := cmd.GetFlagCompletionFunc(test.flag); !registered {
			Complete(cmd, test.flag, []string{"flows", "audio"})
		}
		complete, _ := cmd.GetFlagCompletionFunc(test.flag)
		got, directive := complete(cmd, nil, test.typed)
		assert.Equal(t, test.want, got)
		assert.Equal(t, cobra.ShellCompDirectiveNoFileComp, directive, "no names of files")
	}
}
