package cmdutil

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// YesFlag adds --yes, by which a command does not ask.
func YesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVar(yes, "yes", false, "do not ask first")
}

// Confirm asks at the terminal. Every answer except yes means no.
func Confirm(cmd *cobra.Command, question string) error {
	file, ok := terminal(cmd)
	if !ok {
		return errors.New("there is no terminal to ask at: give --yes")
	}
	cmd.PrintErr(question, " [y/N] ")
	answer, err := readLine(cmd.Context(), file)
	if err != nil {
		cmd.PrintErrln()
		return err
	}
	if !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return errors.New("nothing was changed")
	}
	return nil
}

// terminal returns standard input if that is a terminal.
func terminal(cmd *cobra.Command) (file *os.File, ok bool) {
	file, ok = cmd.InOrStdin().(*os.File)
	return file, ok && term.IsTerminal(int(file.Fd()))
}

// askHidden asks at the terminal, and does not show what is typed.
func askHidden(cmd *cobra.Command, file *os.File, question string) (string, error) {
	state, err := term.GetState(int(file.Fd()))
	if err != nil {
		return "", fmt.Errorf("asking at the terminal: %w", err)
	}
	type result struct {
		typed []byte
		err   error
	}
	results := make(chan result, 1)
	cmd.PrintErr(question, " ")
	defer cmd.PrintErrln()
	go func() {
		typed, err := term.ReadPassword(int(file.Fd()))
		results <- result{typed, err}
	}()
	select {
	case <-cmd.Context().Done():
		_ = term.Restore(int(file.Fd()), state) // the read goes on
		return "", ErrInterrupted
	case r := <-results:
		if r.err != nil {
			return "", fmt.Errorf("reading the answer: %w", r.err)
		}
		return string(r.typed), nil
	}
}

// readLine reads a line, which may lack its end, until an interrupt. The read of a
// terminal cannot be cancelled, so it continues in the background.
func readLine(ctx context.Context, from io.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	results := make(chan result, 1)
	go func() {
		line, err := bufio.NewReader(from).ReadString('\n')
		results <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ErrInterrupted
	case r := <-results:
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return "", fmt.Errorf("reading the answer: %w", r.err)
		}
		return strings.TrimSpace(r.line), nil
	}
}
